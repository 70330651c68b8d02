//! The events of the module, with the parameters that each has before those of `extra_fields` and `leg_fields`.

use tocsin_event::{Description, Field};

pub(super) const METHOD: Field = Field::text("method", "The method of the request.");
pub(super) const FROM_TAG: Field = Field::text_or_null("from_tag", "The tag of the From header field.");
pub(super) const TO_TAG: Field = Field::text_or_null("to_tag", "The tag of the To header field.");
pub(super) const CALLID: Field = Field::text("callid", "The Call-ID.");
pub(super) const SIP_CODE: Field = Field::text_or_null("sip_code", "The status of the final response.");
pub(super) const SIP_REASON: Field = Field::text_or_null("sip_reason", "Its reason phrase.");
pub(super) const TIME: Field = Field::number("time", "When it was accounted for, in seconds since 1970.");
pub(super) const SETUPTIME: Field =
    Field::number("setuptime", "Seconds from the request to the end of the transaction.");
pub(super) const CREATED: Field = Field::number("created", "When the request came, in seconds since 1970.");

pub(super) const REQUEST: Description = Description {
    name: "E_ACC_EVENT",
    cause: "A transaction was answered, or the script accounts for a request. Extra fields and those of legs follow.",
    fields: &[METHOD, FROM_TAG, TO_TAG, CALLID, SIP_CODE, SIP_REASON, TIME],
};
pub(super) const MISSED: Description = Description {
    name: "E_ACC_MISSED_EVENT",
    cause: "A call was missed. Extra fields and those of legs stand before the last two parameters.",
    fields: &[METHOD, FROM_TAG, TO_TAG, CALLID, SIP_CODE, SIP_REASON, TIME, SETUPTIME, CREATED],
};
const CDR: Description = Description {
    name: "E_ACC_CDR",
    cause: "A call ended. Never raised: there are no CDRs without the module dialog.",
    fields: &[METHOD, FROM_TAG, TO_TAG, CALLID, SIP_CODE, SIP_REASON, TIME],
};

/// All of them, in the order in which they are published.
pub(super) const EVENTS: &[Description] = &[REQUEST, MISSED, CDR];
