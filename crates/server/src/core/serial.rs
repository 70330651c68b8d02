//! Destinations that are tried one after the other: `serialize_branches()` has them wait, and `next_branches()` takes the next,
//! often in the failure route of those before. They wait as values of an AVP that no script can name, and so come along
//! with the transaction.

use tocsin_script::{Bytes, Value};

use crate::context::Context;
use crate::sockets::SocketId;
use crate::target::Target;

/// Under this name they wait, those that are next in front.
const WAITING: &[u8] = b"\0serial";
/// No socket was chosen.
const NO_SOCKET: u16 = u16::MAX;

/// Has all destinations of the message wait, the most preferred in front, unless `keeps_order`.
pub(super) fn wait(cx: &mut Context, clear: bool, keeps_order: bool) {
    if clear {
        cx.avps.clear(WAITING);
    }
    if cx.targets.others.is_empty() {
        return;
    }
    let mut all: Vec<Target> = std::mem::take(&mut cx.targets.others).into_vec();
    let main = Target { uri: Some(Bytes::new(cx.request_uri())), ..cx.targets.main.clone() };
    all.insert(0, main);
    if !keeps_order {
        // As in OpenSIPS, a destination without a preference comes before all that have one.
        all.sort_by_key(|target| std::cmp::Reverse(if target.q < 0 { i32::MAX } else { target.q }));
    }
    for target in all.iter().rev() {
        if !cx.avps.push(WAITING, Value::Str(Bytes::from(encode(target)))) {
            tracing::error!("serialize_branches: too many AVPs in one message");
        }
    }
}

/// Takes the most preferred of those that wait: 1 if there are more behind them, 2 if these were the last; -1: there was none.
pub(super) fn next(cx: &mut Context) -> i64 {
    let Some(first) = front(cx) else { return -1 };
    cx.avps.pop(WAITING);
    let q = first.q;
    cx.targets.main = first;
    cx.targets.others.clear();
    while let Some(next) = front(cx).filter(|next| next.q == q) {
        if !cx.targets.append(next) {
            break;
        }
        cx.avps.pop(WAITING);
    }
    if front(cx).is_some() { 1 } else { 2 }
}

fn front(cx: &Context) -> Option<Target> {
    let Value::Str(bytes) = cx.avps.values(WAITING).next()? else { return None };
    decode(bytes)
}

/// The numbers, and then the texts with their lengths; one that is not there is empty.
fn encode(target: &Target) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&target.q.to_ne_bytes());
    out.extend_from_slice(&target.flags.to_ne_bytes());
    out.extend_from_slice(&target.socket.map_or(NO_SOCKET, |id| id.0).to_ne_bytes());
    for text in [&target.uri, &target.next_hop, &target.path] {
        let text = text.as_deref().unwrap_or_default();
        out.extend_from_slice(&(text.len() as u32).to_ne_bytes());
        out.extend_from_slice(text);
    }
    out
}

fn decode(bytes: &[u8]) -> Option<Target> {
    let (q, rest) = bytes.split_first_chunk()?;
    let (flags, rest) = rest.split_first_chunk()?;
    let (socket, mut rest) = rest.split_first_chunk()?;
    let mut text = || {
        let (length, behind) = rest.split_first_chunk()?;
        let (text, behind) = behind.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        rest = behind;
        Some((!text.is_empty()).then(|| Bytes::new(text)))
    };
    Some(Target {
        uri: text()?,
        next_hop: text()?,
        path: text()?,
        socket: Some(u16::from_ne_bytes(*socket)).filter(|id| *id != NO_SOCKET).map(SocketId),
        q: i32::from_ne_bytes(*q),
        flags: u32::from_ne_bytes(*flags),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_kept_whole() {
        let full = Target {
            uri: Some("sip:a@b".into()),
            next_hop: Some("sip:p;lr".into()),
            path: Some("<sip:p;lr>".into()),
            socket: Some(SocketId(3)),
            q: 500,
            flags: 1 << 31,
        };
        for target in [full, Target { uri: Some("sip:a@b".into()), ..Target::default() }] {
            let kept = decode(&encode(&target)).unwrap();
            assert_eq!(
                (&kept.uri, &kept.next_hop, &kept.path),
                (&target.uri, &target.next_hop, &target.path)
            );
            assert_eq!((kept.socket, kept.q, kept.flags), (target.socket, target.q, target.flags));
        }
        let bytes = encode(&Target { uri: Some("sip:a@b".into()), ..Target::default() });
        assert!((0..bytes.len()).all(|end| decode(&bytes[..end]).is_none()));
    }
}
