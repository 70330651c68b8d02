//! The modules that a configuration can load, one folder a module, named as the peer names them.
//!
//! A module gives names to the script and keeps its state; it is switched on by `loadmodule` and is otherwise not there.
#![forbid(unsafe_code)]

pub mod maxfwd;
pub mod proto_udp;
pub mod rr;
pub mod signaling;
pub mod sipmsgops;
pub mod sl;
pub mod tm;

use std::rc::Rc;

use tocsin_server::Module;

/// All modules, linked in.
pub fn all() -> Vec<Rc<dyn Module>> {
    vec![
        Rc::new(maxfwd::Maxfwd),
        Rc::new(proto_udp::ProtoUdp),
        Rc::new(rr::Rr),
        Rc::new(signaling::Signaling),
        Rc::new(sipmsgops::Sipmsgops),
        Rc::new(sl::Sl),
        Rc::new(tm::Tm),
    ]
}
