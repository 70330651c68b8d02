//! The steps of a case: a party sends, answers or waits, a management command, a pause.

use std::io;
use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use super::super::cases::{is_set, text};
use super::super::clock::millis;
use super::actor::Actor;
use super::dialog;
use super::message::{Message, bytes_of, text_of};
use super::run::Run;

/// How long a message is waited for where the step does not say, in milliseconds.
const EXPECT: u64 = 2000;
/// How long a management command may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What is compared if there is no answer.
const NO_ANSWER: &[u8] = b"<no reply>";

impl Run<'_> {
    /// Takes a step. Says why it is impossible.
    pub(super) fn step(&mut self, step: &Value) -> Result<(), String> {
        if is_set(step, "sleep_ms") {
            self.pump(millis(&step["sleep_ms"], 0), |_| false);
        } else if is_set(step, "mi") {
            self.command(text(step, "mi"), step);
            self.take_answer(ANSWER_WITHIN);
        } else if is_set(step, "mi_async") {
            self.command(text(step, "mi_async"), step);
        } else if is_set(step, "mi_wait") {
            self.take_answer(millis(&step["mi_wait"], 0));
        } else if is_set(step, "from") {
            self.send_step(text(step, "from"), step)?;
        } else if is_set(step, "reply") {
            self.reply_step(text(step, "at"), step)?;
        } else if is_set(step, "at") {
            self.expect_step(text(step, "at"), step)?;
        } else {
            panic!("a step that nobody understands: {step}");
        }
        Ok(())
    }

    fn command(&mut self, method: &str, step: &Value) {
        let params = self.filling().fill(&step["params"].to_string());
        let params = serde_json::from_str(&params).expect("parameters are JSON after they were filled, too");
        self.command = Some(self.server.command(method, &params));
    }

    fn take_answer(&mut self, patience: Duration) {
        self.pump(patience, |run| run.command.as_ref().is_none_or(|command| command.answer.is_some()));
        let answer = self.command.take().and_then(|command| command.answer);
        self.answers.push(answer.unwrap_or_else(|| NO_ANSWER.to_vec()));
    }

    fn send_step(&mut self, name: &str, step: &Value) -> Result<(), String> {
        let data = self.message_to_send(name, step)?;
        self.send(name, &data, step).map_err(|cause| format!("{name} cannot send: {cause}"))?;
        if !data.is_empty() && !is_set(step, "again") {
            self.actor(name).sent.push(data);
        }
        Ok(())
    }

    fn message_to_send(&self, name: &str, step: &Value) -> Result<Vec<u8>, String> {
        let actor = &self.actors[name];
        let filling = self.filling();
        let message = |text: String| filling.message(&text);
        if let Some(text) = step["send"].as_str() {
            let raw = is_set(step, "raw");
            return Ok(if raw { bytes_of(&filling.fill(text)) } else { filling.message(text) });
        }
        if is_set(step, "ack") {
            return Ok(dialog::ack(actor, step).map(message)?);
        }
        if is_set(step, "cancel") {
            return Ok(dialog::cancel(actor, step).map(message)?);
        }
        if is_set(step, "in_dialog") {
            let request = dialog::request(actor, &self.id, step);
            return request.map(message).ok_or_else(|| format!("{name} has no dialog"));
        }
        if is_set(step, "again") {
            let method = step["again"].as_str();
            let is_it = |data: &&Vec<u8>| method.is_none_or(|method| Message::new(data).method() == method);
            let again = actor.sent.iter().rev().find(is_it).cloned();
            return again.ok_or_else(|| "nothing to repeat".to_owned());
        }
        Ok(Vec::new())
    }

    fn send(&mut self, name: &str, data: &[u8], step: &Value) -> io::Result<()> {
        let actor = self.actors.get_mut(name).expect("an actor of the case");
        let port = self.ports[step["to"].as_str().unwrap_or(match actor.kind.as_str() {
            "udp" => "PORT",
            "tcp" => "TCP",
            "tls" => "TLS",
            _ => "WS",
        })];
        if actor.kind == "udp" {
            return actor.send_datagram(data, port);
        }
        if is_set(step, "close") {
            actor.close();
            if data.is_empty() {
                return Ok(());
            }
        }
        if is_set(step, "new") || actor.connection().is_none() {
            let from = actor.connect(port)?;
            let number = match actor.connections.len() {
                1 => String::new(),
                count => count.to_string(),
            };
            self.names.insert(from, format!("{name}.src{number}"));
        }
        let connection = actor.connection().ok_or_else(|| io::Error::other("the connection is gone"))?;
        match step["ws_op"].as_u64() {
            Some(kind) => connection.send_frame(data, u8::try_from(kind).expect("the kind of a frame")),
            None => connection.send(data),
        }
    }

    fn reply_step(&mut self, name: &str, step: &Value) -> Result<(), String> {
        let (data, to) = if step["reply"] == "again" {
            self.actor(name).last_reply.clone().ok_or("no reply to repeat")?
        } else {
            let nothing = || format!("{name} has no request to answer with {}", step["reply"]);
            let (text, to) = dialog::reply(&self.actors[name], &self.id, step).ok_or_else(nothing)?;
            (self.filling().message(&text), to)
        };
        self.actor(name).answer(data, to).map_err(|cause| format!("{name} cannot answer: {cause}"))
    }

    /// Waits for a message whose start line fits. The next such step looks behind it.
    fn expect_step(&mut self, name: &str, step: &Value) -> Result<(), String> {
        let wanted = self.filling().fill(step["expect"].as_str().unwrap_or("."));
        let is_code = wanted.starts_with(|first: char| first.is_ascii_digit() || "[(".contains(first))
            || wanted.starts_with("...");
        let status = if is_code { "SIP/2.0 " } else { "" };
        let pattern = Regex::new(&format!(r"\A{status}(?:{wanted})")).expect("`expect` is an expression");
        let came = self.pump(millis(&step["wait_ms"], EXPECT), |run| {
            let actor = run.actor(name);
            let new = actor.inbox.iter().skip(actor.seen);
            let found = new.enumerate().find(|(_, received)| pattern.is_match(&text_of(&received.data)));
            let found = found.map(|(index, _)| index);
            found.inspect(|index| actor.seen += index + 1).is_some()
        });
        if came { Ok(()) } else { Err(format!("{name} did not receive {wanted}")) }
    }

    fn actor(&mut self, name: &str) -> &mut Actor {
        self.actors.get_mut(name).expect("an actor of the case")
    }
}
