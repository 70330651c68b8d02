//! Which transaction a message belongs to.
//!
//! A transaction's identity is a keyed hash of what all messages of its request have in common (RFC 3261 section
//! 17.2.3): the topmost Via's branch and sent-by, Call-ID, CSeq number and the method, ACK and CANCEL counting as the
//! INVITE that they belong to. The branch of our own Via is that identity with the number of the branch, so a reply
//! leads to its transaction without a look-up by anything else. A retransmission that comes after the record is
//! gone gets the same identity, and the same branch downstream: the next hop takes it as what it is.

use tocsin_server::Server;
use tocsin_server::reply::hex;
use tocsin_sip::{COOKIE, Message, Method};

use super::machine::BranchId;
use super::record::TransactionId;

/// Digits of an identity in a branch parameter.
const DIGITS: usize = 16;

/// The identity of the transaction that `request` belongs to, or makes.
pub(super) fn of_request(server: &Server, request: &Message) -> Option<TransactionId> {
    let method = match request.method() {
        Method::Ack | Method::Cancel => Method::Invite.text().as_bytes(),
        _ => request.method_text(),
    };
    of_method(server, request, method)
}

/// The identity of the transaction of the same branch, for a request of this method.
pub(super) fn of_method(server: &Server, request: &Message, method: &[u8]) -> Option<TransactionId> {
    let via = request.via().ok()?;
    let call_id = request.call_id().ok()?;
    let cseq = request.cseq().ok()?.number.to_be_bytes();
    let hash = match via.rfc3261_branch() {
        Some(branch) => {
            let port = via.port().unwrap_or(0).to_be_bytes();
            server.keyed_hash(&[branch, via.host(), &port, call_id, &cseq, method])
        }
        // A client older than RFC 3261: its branch proves nothing.
        None => {
            let from = request.from().ok()?;
            let uri = request.ruri().ok()?.text();
            server.keyed_hash(&[via.text(), from.tag().unwrap_or_default(), uri, call_id, &cseq, method])
        }
    };
    Some(TransactionId(hash))
}

/// The identity of the transaction of a request of this server's own. `t_uac_cancel` finds it by what it knows.
pub(super) fn of_own(server: &Server, call_id: &[u8], cseq: u32) -> TransactionId {
    TransactionId(server.keyed_hash(&[b"own", call_id, &cseq.to_be_bytes()]))
}

/// Whether a reply whose topmost Via names `id` answers an INVITE that this server relayed, whether or not its transaction
/// is still there: the identity is a keyed hash of what the reply repeats, which nobody else can make.
pub(super) fn answers_relayed_invite(server: &Server, reply: &Message, id: TransactionId) -> bool {
    let mut vias = reply.vias();
    let Some(Ok(via)) = vias.nth(1) else { return false };
    let (Some(branch), Ok(call_id), Ok(cseq)) = (via.rfc3261_branch(), reply.call_id(), reply.cseq()) else {
        return false;
    };
    let (port, number) = (via.port().unwrap_or(0).to_be_bytes(), cseq.number.to_be_bytes());
    let method = Method::Invite.text().as_bytes();
    cseq.method == Method::Invite
        && server.keyed_hash(&[branch, via.host(), &port, call_id, &number, method]) == id.0
}

/// The To tag of every reply that this server makes for a transaction: the same from each process.
pub(super) fn tag_of(server: &Server, id: TransactionId) -> [u8; DIGITS] {
    hex(server.keyed_hash(&[b"to-tag", &id.0.to_be_bytes()]))
}

/// What stands behind the magic cookie in our Via: the identity and the number of the branch.
pub(super) fn branch_text(id: TransactionId, branch: usize) -> ([u8; DIGITS + 3], usize) {
    let mut text = [0; DIGITS + 3];
    text[..DIGITS].copy_from_slice(&hex(id.0));
    text[DIGITS] = b'.';
    let number = branch.min(99) as u8;
    if number < 10 {
        text[DIGITS + 1] = b'0' + number;
        (text, DIGITS + 2)
    } else {
        text[DIGITS + 1] = b'0' + number / 10;
        text[DIGITS + 2] = b'0' + number % 10;
        (text, DIGITS + 3)
    }
}

/// Reads the branch parameter of a reply's topmost Via, if we wrote it for a transaction.
pub(super) fn of_reply(reply: &Message) -> Option<(TransactionId, BranchId)> {
    let via = reply.via().ok()?;
    read_branch(via.branch()?)
}

fn read_branch(branch: &[u8]) -> Option<(TransactionId, BranchId)> {
    let own = branch.strip_prefix(COOKIE)?;
    let (id, rest) = own.split_at_checked(DIGITS)?;
    let id = u64::from_str_radix(std::str::from_utf8(id).ok()?, 16).ok()?;
    let number = std::str::from_utf8(rest.strip_prefix(b".")?).ok()?.parse().ok()?;
    Some((TransactionId(id), BranchId::from_index(number)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_leads_back_to_its_transaction() {
        for number in [0, 9, 10, 11] {
            let (text, length) = branch_text(TransactionId(0xfeed_0000_1234_5678), number);
            let branch = [COOKIE, &text[..length]].concat();
            let (id, branch) = read_branch(&branch).unwrap();
            assert_eq!((id.0, branch.index()), (0xfeed_0000_1234_5678, number));
        }
    }

    #[test]
    fn other_branches_lead_nowhere() {
        for branch in [
            "z9hG4bK",
            "z9hG4bKfeed000012345678",
            "z9hG4bKfeed000012345678.",
            "z9hG4bKfeed000012345678.s",
            "z9hG4bKfeed000012345678.12",
            "z9hG4bKzeed000012345678.0",
            "feed000012345678.0",
            "z9hG4bK\u{e9}\u{e9}",
        ] {
            assert!(read_branch(branch.as_bytes()).is_none(), "{branch}");
        }
    }
}
