use tocsin_shm::{ShmSafe, ShmVec};

#[derive(ShmSafe)]
struct Queue<T> {
    waiting: ShmVec<T>,
}

fn needs<T: ShmSafe>() {}

fn main() {
    needs::<Queue<std::sync::Arc<u8>>>();
}
