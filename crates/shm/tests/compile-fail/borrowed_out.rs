use tocsin_shm::{Map, ShmString};

fn carry_out(map: Map<u64, ShmString>) -> Option<&'static str> {
    map.get(&1, |text| text.as_str())
}

fn main() {}
