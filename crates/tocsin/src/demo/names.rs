//! A name server that is slow: every name is this machine, and it takes its time to say so.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::spawn_local;
use tokio::time::sleep;

/// How long an answer takes.
const SLOW: Duration = Duration::from_millis(300);
/// Bytes of the header of a DNS message (RFC 1035 section 4.1.1).
const HEADER: usize = 12;

/// Answers the questions that arrive at `socket`, until it is dropped.
pub(super) async fn serve(socket: UdpSocket) -> io::Result<()> {
    let socket = Rc::new(socket);
    let mut query = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut query).await?;
        let Some(answer) = answer(&query[..length]) else { continue };
        let socket = Rc::clone(&socket);
        spawn_local(async move {
            sleep(SLOW).await;
            // The client may have gone meanwhile.
            let _ = socket.send_to(&answer, from).await;
        });
    }
}

/// The answer to `query`: 127.0.0.1 if it asks for an IPv4 address, else that there is nothing of the kind.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let name = query.get(HEADER..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = query.get(HEADER..HEADER + name + 4)?;
    let asks_for_a = question[name..name + 2] == [0, 1];
    // The question's id; a response, recursion available, no error; one question, its answers, nothing more.
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(asks_for_a), 0, 0, 0, 0]);
    answer.extend_from_slice(question);
    if asks_for_a {
        // The name of the question, type A, class IN, for no time at all, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_given_and_nothing_else() {
        let query =
            |kind: u8| [&[7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, kind, 0, 1][..]].concat();
        assert!(answer(&query(1)).unwrap().ends_with(&[0, 4, 127, 0, 0, 1]));
        assert_eq!(answer(&query(28)).unwrap().len(), query(28).len());
        assert_eq!(answer(&query(1)[..14]), None);
        assert_eq!(answer(&[]), None);
    }
}
