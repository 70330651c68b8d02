//! What this process does for its connections.

use std::future::Future;
use std::pin::Pin;

use tocsin_streams::Owner;

use crate::flow::{BranchRef, Received};
use crate::receive;
use crate::worker::Worker;

impl Owner for Worker {
    fn received(&'static self, message: Vec<u8>, from: Received) {
        receive::message(self, message, from);
    }

    fn not_sent(&'static self, branch_ref: BranchRef) {
        let Some(layer) = self.server.registered.transactions.clone() else { return };
        // Not here and now: the caller may be in the middle of that transaction.
        self.spawn(async move { layer.send_failed(self, branch_ref) });
    }

    fn note_left(&'static self, branch_ref: BranchRef) {
        if let Some(layer) = &self.server.registered.transactions {
            layer.request_left(self, branch_ref);
        }
    }

    fn has_left(&'static self, branch_ref: BranchRef) -> bool {
        self.server.registered.transactions.as_ref().is_some_and(|layer| layer.has_left(self, branch_ref))
    }

    fn flush(&'static self) {
        self.flush();
    }

    fn flush_datagrams(&'static self) {
        self.flush_datagrams();
    }

    fn safe_point(&'static self) {
        self.safe_point();
    }

    fn lend_buffer(&'static self) -> Vec<u8> {
        self.lend_buffer()
    }

    fn recycle(&'static self, buffer: Vec<u8>) {
        self.recycle(buffer);
    }

    fn unique(&'static self) -> u64 {
        self.unique()
    }

    fn spawn(&'static self, task: Pin<Box<dyn Future<Output = ()>>>) {
        self.spawn(task);
    }
}
