//! The modules that a configuration can load, one folder a module, named as OpenSIPS names them.
//!
//! A module gives names to the script and keeps its state; it is switched on by `loadmodule` and is otherwise not there.
#![forbid(unsafe_code)]

pub mod avpops;
pub mod cachedb_local;
pub mod cfgutils;
pub mod db_mysql;
pub mod db_sqlite;
pub mod event_datagram;
pub mod event_flatstore;
pub mod event_route;
pub mod event_stream;
pub mod httpd;
pub mod maxfwd;
pub mod mi_datagram;
pub mod mi_fifo;
pub mod mi_http;
pub mod path;
pub mod proto_tcp;
pub mod proto_tls;
pub mod proto_udp;
pub mod proto_ws;
pub mod proto_wss;
pub mod registrar;
pub mod rr;
pub mod signaling;
pub mod sipmsgops;
pub mod sl;
pub mod status_report;
pub mod tcp_mgm;
pub mod tls_mgm;
pub mod tls_openssl;
pub mod tls_wolfssl;
pub mod tm;
pub mod usrloc;

use std::rc::Rc;

use tocsin_server::Module;

/// All modules, linked in.
pub fn all() -> Vec<Rc<dyn Module>> {
    vec![
        Rc::new(avpops::Avpops),
        Rc::new(cachedb_local::CachedbLocal),
        Rc::new(cfgutils::Cfgutils),
        Rc::new(db_mysql::DbMysql),
        Rc::new(db_sqlite::DbSqlite),
        Rc::new(event_datagram::EventDatagram),
        Rc::new(event_flatstore::EventFlatstore),
        Rc::new(event_route::EventRoute),
        Rc::new(event_stream::EventStream),
        Rc::new(httpd::Httpd),
        Rc::new(maxfwd::Maxfwd),
        Rc::new(mi_datagram::MiDatagram),
        Rc::new(mi_fifo::MiFifo),
        Rc::new(mi_http::MiHttp),
        Rc::new(path::Path),
        Rc::new(proto_tcp::ProtoTcp),
        Rc::new(proto_tls::ProtoTls),
        Rc::new(proto_udp::ProtoUdp),
        Rc::new(proto_ws::ProtoWs),
        Rc::new(proto_wss::ProtoWss),
        Rc::new(registrar::Registrar::default()),
        Rc::new(rr::Rr),
        Rc::new(signaling::Signaling),
        Rc::new(sipmsgops::Sipmsgops),
        Rc::new(sl::Sl),
        Rc::new(status_report::StatusReport),
        Rc::new(tls_mgm::TlsMgm),
        Rc::new(tls_openssl::TlsOpenssl),
        Rc::new(tls_wolfssl::TlsWolfssl),
        Rc::new(tcp_mgm::TcpMgm),
        Rc::new(tm::Tm),
        Rc::new(usrloc::Usrloc),
    ]
}
