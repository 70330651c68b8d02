//! Any bytes in the FIFO, in any pieces: each step takes something out, and what is left is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The framing is no part of the crate's interface: its source is taken as it is.
#[allow(dead_code)]
#[path = "../../src/fifo/framing.rs"]
mod framing;

/// What the source names of its crate.
mod jsonrpc {
    pub(crate) fn limits() -> tocsin_json::Limits {
        tocsin_json::Limits { values: tocsin_mi::jsonrpc::MAX_VALUES, ..tocsin_json::Limits::default() }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&step, stream)) = bytes.split_first() else { return };
    let mut framer = framing::Framer::default();
    for piece in stream.chunks(usize::from(step) + 1) {
        framer.push(piece);
        let mut frames = 0;
        while let Some(frame) = framer.next_frame() {
            frames += 1;
            assert!(frames <= stream.len() + 1, "it goes on for ever");
            if let framing::Frame::Request { reply: Some(reply), .. } = frame {
                assert!(reply.len() <= framing::MAX_REPLY_NAME_BYTES && !reply.contains('/'));
            }
        }
    }
    framer.give_up();
    assert!(!framer.has_part());
});
