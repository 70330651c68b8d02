//! One of the subscribers that are one: opened when the first event is for it.

use std::io;
use std::rc::Rc;

use tocsin_event::{Event, Outlet, Receipts, Transports};

/// One subscriber of a virtual one.
pub(crate) struct Member {
    socket: String,
    transports: Transports,
    outlet: Option<Box<dyn Outlet>>,
}

impl Member {
    pub(crate) fn new(socket: &str, transports: Transports) -> Self {
        Self { socket: socket.to_owned(), transports, outlet: None }
    }

    /// Whether that is the socket of a virtual subscriber, which cannot be a member.
    pub(crate) fn is_virtual(socket: &str) -> bool {
        socket.starts_with("virtual:")
    }

    /// How it is called in errors: without its password.
    pub(crate) fn name(&self) -> String {
        let address = Some(&self.socket).filter(|socket| !Self::is_virtual(socket));
        let address = address.and_then(|socket| self.transports.parse(socket.as_bytes()).ok());
        // Where nobody can say what is a password, only the scheme is shown.
        let scheme = || self.socket.split(':').next().unwrap_or_default().to_owned() + ":";
        address.map_or_else(scheme, |address| address.shown)
    }

    /// Sends events, as an outlet does.
    pub(crate) async fn send(&mut self, events: &[Rc<Event>], receipts: &Rc<dyn Receipts>) {
        match self.open(receipts).await {
            Ok(outlet) => outlet.send(events).await,
            Err(why) => receipts.dropped(events.len(), &why),
        }
    }

    /// Closes the way to it: it is opened anew for the next events.
    pub(crate) fn close(&mut self) {
        self.outlet = None;
    }

    async fn open(&mut self, receipts: &Rc<dyn Receipts>) -> io::Result<&mut Box<dyn Outlet>> {
        if self.outlet.is_none() {
            if Self::is_virtual(&self.socket) {
                return Err(io::Error::other("a virtual subscriber cannot be part of another one"));
            }
            let address = self.transports.parse(self.socket.as_bytes()).map_err(io::Error::other)?;
            self.outlet = Some(self.transports.open(address, Rc::clone(receipts)).await?);
        }
        self.outlet.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}
