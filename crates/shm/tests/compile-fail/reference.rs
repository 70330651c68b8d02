use tocsin_shm::ShmSafe;

#[derive(ShmSafe)]
enum Method {
    Invite,
    Other(&'static str),
}

fn main() {}
