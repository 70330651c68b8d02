use tocsin_shm::ShmSafe;

#[derive(ShmSafe)]
struct Subscriber {
    id: u64,
    name: String,
}

fn main() {}
