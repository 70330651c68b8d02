//! The tasks of this process's connections, from their beginning to their end.

use std::rc::Rc;

use tocsin_net::connections::{Own, View};

use super::WorkerStreams;
use crate::connecting::{self, Connecting};
use crate::connection::Connection;
use crate::machine::Stop;

impl WorkerStreams {
    /// Opens a connection, sends what waits for it, and serves it until it stops.
    pub(super) async fn open_and_serve(&'static self, opening: Rc<Connecting>, own: Own, view: View) {
        let network = self.local.network;
        let opened = connecting::open(network, &own, &view).await;
        let pending_connect = opening.take_pending();
        self.opened(&opening);
        match opened.and_then(|stream| connecting::start(&self.local, own, &view, stream, &pending_connect)) {
            Ok(connection) => {
                self.enter(&connection);
                self.opened_at_main(&connection);
                for (message, branch_ref) in pending_connect.messages {
                    connection.push(message, branch_ref);
                }
                self.local.owner.flush();
                opening.forget_guards();
                let stop = connection.live().await;
                self.stopped(&connection, stop).await;
            }
            Err(end) => {
                network.report(opening.id, &end);
                self.forget(opening.id);
                self.all_failed(pending_connect);
                opening.forget_guards();
            }
        }
    }

    /// Serves an accepted or adopted connection until it stops.
    pub(super) async fn serve(&'static self, connection: Rc<Connection>) {
        let stop = connection.serve().await;
        self.stopped(&connection, stop).await;
    }

    async fn stopped(&'static self, connection: &Rc<Connection>, stop: Stop) {
        match stop {
            Stop::End(end) => {
                connection.finish(&end);
                self.ended(connection);
                connection.linger(&end).await;
            }
            Stop::Move => self.leave(connection),
        }
    }
}
