//! The module's parameters.

use tocsin_script::ModParam;
use tocsin_server::module::Parameters;

const APPEND_FROMTAG: ModParam = ModParam::switch(
    "append_fromtag",
    true,
    "Whether Record-Route carries the From tag, so that is_direction() can tell the caller from the callee.",
);
const ENABLE_DOUBLE_RR: ModParam = ModParam::switch(
    "enable_double_rr",
    true,
    "Whether two Record-Route header fields are added where a request leaves by another socket than it arrived on.",
);
const ADD_USERNAME: ModParam =
    ModParam::switch("add_username", false, "Whether Record-Route carries the user of the Request-URI.");
const ENABLE_SOCKET_MISMATCH_WARNING: ModParam = ModParam::switch(
    "enable_socket_mismatch_warning",
    true,
    "Whether it is logged that record_route_preset() names another address than the request leaves by.",
);

/// All of them.
pub(super) const PARAMETERS: &[ModParam] =
    &[APPEND_FROMTAG, ENABLE_DOUBLE_RR, ADD_USERNAME, ENABLE_SOCKET_MISMATCH_WARNING];

/// What they say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// `append_fromtag`: note the From tag, to tell caller from callee later.
    pub(super) from_tag: bool,
    /// `enable_double_rr`: two entries where a request leaves by another socket than it came by.
    pub(super) double: bool,
    /// `add_username`: note the user of the Request-URI.
    pub(super) username: bool,
    /// `enable_socket_mismatch_warning`: warn in the log of presets that name another host.
    pub(super) mismatch_warning: bool,
}

impl Settings {
    pub(super) fn new(given: &Parameters) -> Self {
        Self {
            from_tag: given.on(&APPEND_FROMTAG),
            double: given.on(&ENABLE_DOUBLE_RR),
            username: given.on(&ADD_USERNAME),
            mismatch_warning: given.on(&ENABLE_SOCKET_MISMATCH_WARNING),
        }
    }
}
