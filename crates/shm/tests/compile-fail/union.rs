use tocsin_shm::{ShmClone, ShmSafe};

#[derive(ShmSafe, ShmClone)]
union Either {
    number: u64,
    bytes: [u8; 8],
}

fn main() {}
