//! The tasks of this process's connections, from their beginning to their end.

use std::rc::Rc;

use tocsin_net::connections::{Own, View};

use super::WorkerStreams;
use crate::connection::{Connection, Stop};
use crate::opening::{self, Outgoing};

impl WorkerStreams {
    /// Opens a connection, sends what waits for it, and serves it until it stops.
    pub(super) async fn open_and_serve(&'static self, opening: Rc<Outgoing>, own: Own, view: View) {
        let network = self.local.network;
        let opened = opening::open(network, &own, &view).await;
        let errand = opening.take_errand();
        self.opened(&opening);
        match opened.and_then(|stream| opening::start(&self.local, own, &view, stream, &errand)) {
            Ok(connection) => {
                self.enter(&connection);
                self.opened_at_main(&connection);
                for (message, ticket) in errand.messages {
                    connection.push(message, ticket);
                }
                self.local.owner.flush();
                opening.forget_noted();
                let stop = connection.live().await;
                self.stopped(&connection, stop).await;
            }
            Err(end) => {
                network.report(opening.id, &end);
                self.forget(opening.id);
                self.all_failed(errand);
                opening.forget_noted();
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
