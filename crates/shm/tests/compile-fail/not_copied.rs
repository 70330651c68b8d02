use std::sync::atomic::AtomicU32;

use tocsin_shm::{ShmClone, ShmSafe};

#[derive(ShmSafe, ShmClone)]
struct Counted {
    uses: AtomicU32,
}

fn main() {}
