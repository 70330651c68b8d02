//! The list of the modules that a configuration can load: each is a package of its own, in a folder that is named as the
//! module is named in OpenSIPS.
//!
//! A module gives names to the script and keeps its state; it is switched on by `loadmodule` and is otherwise not there.
//! Cargo features leave out what a small build does not need.
#![forbid(unsafe_code)]

use std::rc::Rc;

use tocsin_server::Module;

/// All modules of this build.
pub fn all() -> Vec<Rc<dyn Module>> {
    vec![
        Rc::new(tocsin_acc::Acc::default()),
        Rc::new(tocsin_avpops::Avpops),
        Rc::new(tocsin_cachedb_local::CachedbLocal),
        Rc::new(tocsin_cfgutils::Cfgutils),
        #[cfg(feature = "mysql")]
        Rc::new(tocsin_db_mysql::DbMysql),
        #[cfg(feature = "sqlite")]
        Rc::new(tocsin_db_sqlite::DbSqlite),
        Rc::new(tocsin_event_datagram::EventDatagram),
        Rc::new(tocsin_event_flatstore::EventFlatstore),
        #[cfg(feature = "rabbitmq")]
        Rc::new(tocsin_event_rabbitmq::EventRabbitmq),
        Rc::new(tocsin_event_route::EventRoute),
        Rc::new(tocsin_event_routing::EventRouting),
        Rc::new(tocsin_event_stream::EventStream),
        Rc::new(tocsin_event_virtual::EventVirtual),
        Rc::new(tocsin_event_xmlrpc::EventXmlrpc),
        Rc::new(tocsin_httpd::Httpd),
        Rc::new(tocsin_json_module::JsonModule),
        Rc::new(tocsin_mathops::Mathops),
        Rc::new(tocsin_maxfwd::Maxfwd),
        Rc::new(tocsin_mi_datagram::MiDatagram),
        Rc::new(tocsin_mi_fifo::MiFifo),
        Rc::new(tocsin_mi_http::MiHttp),
        Rc::new(tocsin_path::Path),
        Rc::new(tocsin_proto_tcp::ProtoTcp),
        #[cfg(feature = "tls")]
        Rc::new(tocsin_proto_tls::ProtoTls),
        Rc::new(tocsin_proto_udp::ProtoUdp),
        Rc::new(tocsin_proto_ws::ProtoWs),
        #[cfg(feature = "tls")]
        Rc::new(tocsin_proto_wss::ProtoWss),
        Rc::new(tocsin_registrar::Registrar::default()),
        Rc::new(tocsin_rr::Rr),
        Rc::new(tocsin_signaling::Signaling),
        Rc::new(tocsin_sipmsgops::Sipmsgops),
        Rc::new(tocsin_sl::Sl),
        Rc::new(tocsin_statistics::StatisticsModule),
        Rc::new(tocsin_status_report::StatusReport),
        Rc::new(tocsin_tcp_mgm::TcpMgm),
        Rc::new(tocsin_textops::Textops),
        #[cfg(feature = "tls")]
        Rc::new(tocsin_tls_mgm::TlsMgm),
        #[cfg(feature = "tls")]
        Rc::new(tocsin_tls_openssl::TlsOpenssl),
        #[cfg(feature = "tls")]
        Rc::new(tocsin_tls_wolfssl::TlsWolfssl),
        Rc::new(tocsin_tm::Tm),
        Rc::new(tocsin_usrloc::Usrloc),
        Rc::new(tocsin_uuid::Uuid),
    ]
}
