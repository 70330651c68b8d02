//! The bindings of one AOR while they are being changed: what they will be, and which events follow.

use smallvec::SmallVec;

use super::contact::Contact;

/// What happened to a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Inserted,
    /// It was registered again.
    Updated,
    /// It was removed.
    Deleted,
    /// Its time was over.
    Expired,
}

/// In which order the contacts of an AOR stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The preferred first, by `q`; equal ones as they came.
    #[default]
    Preference,
    /// The newest registration first (`desc_time_order`).
    Newest,
}

/// The contacts of an AOR, and what was changed about them so far.
#[derive(Clone, Debug)]
pub struct Bindings<'a> {
    order: Order,
    contacts: SmallVec<[Contact<'a>; 2]>,
    changes: SmallVec<[(Change, Contact<'a>); 2]>,
}

impl<'a> Bindings<'a> {
    /// The contacts as they are.
    pub fn new(contacts: impl IntoIterator<Item = Contact<'a>>, order: Order) -> Self {
        Self { order, contacts: contacts.into_iter().collect(), changes: SmallVec::new() }
    }

    /// Adds a contact.
    pub fn insert(&mut self, contact: Contact<'a>) {
        self.place(contact);
        self.changes.push((Change::Inserted, contact));
    }

    /// Puts a newer registration in the place of the contact at `index`.
    pub fn update(&mut self, index: usize, contact: Contact<'a>) {
        let Some(old) = self.contacts.get_mut(index) else { return };
        if self.order == Order::Preference && old.q == contact.q {
            *old = contact;
        } else {
            self.contacts.remove(index);
            self.place(contact);
        }
        self.changes.push((Change::Updated, contact));
    }

    /// Removes the contact at `index`.
    pub fn remove(&mut self, index: usize) {
        if index < self.contacts.len() {
            self.changes.push((Change::Deleted, self.contacts.remove(index)));
        }
    }

    /// Removes the contacts that `unwanted` names. Returns how many.
    pub fn remove_where(&mut self, mut unwanted: impl FnMut(&Contact<'a>) -> bool) -> usize {
        self.retain(Change::Deleted, |contact| !unwanted(contact))
    }

    /// Removes what is over at `now`, in seconds since 1970. Returns how many that were.
    pub fn expire(&mut self, now: u64) -> usize {
        self.retain(Change::Expired, |contact| !contact.is_expired(now))
    }

    /// The contacts as they will be, in their order.
    pub fn contacts(&self) -> &[Contact<'a>] {
        &self.contacts
    }

    /// What was changed, in the order of the changes.
    pub fn changes(&self) -> &[(Change, Contact<'a>)] {
        &self.changes
    }

    /// The earliest moment at which a contact expires, in seconds since 1970.
    pub fn next_expiry(&self) -> Option<u64> {
        self.contacts
            .iter()
            .map(|contact| contact.expires)
            .filter(|at| *at != super::contact::PERMANENT)
            .min()
    }

    fn retain(&mut self, change: Change, mut keep: impl FnMut(&Contact<'a>) -> bool) -> usize {
        let before = self.changes.len();
        let changes = &mut self.changes;
        self.contacts.retain(|contact| {
            let kept = keep(contact);
            if !kept {
                changes.push((change, *contact));
            }
            kept
        });
        self.changes.len() - before
    }

    fn place(&mut self, contact: Contact<'a>) {
        let at = match self.order {
            Order::Newest => 0,
            Order::Preference => {
                self.contacts.iter().position(|other| other.q < contact.q).unwrap_or(self.contacts.len())
            }
        };
        self.contacts.insert(at, contact);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(uri: &'static str, q: i32, expires: u64) -> Contact<'static> {
        Contact { uri: uri.as_bytes(), q, expires, ..Contact::EMPTY }
    }

    fn uris(bindings: &Bindings<'_>) -> Vec<String> {
        bindings.contacts().iter().map(|c| String::from_utf8_lossy(c.uri).into_owned()).collect()
    }

    #[test]
    fn preferred_contacts_come_first_and_equals_as_they_came() {
        let mut bindings = Bindings::new([], Order::Preference);
        for (uri, q) in [("a", -1), ("b", 500), ("c", 500), ("d", 1000), ("e", -1)] {
            bindings.insert(contact(uri, q, 10));
        }
        assert_eq!(uris(&bindings), ["d", "b", "c", "a", "e"]);
        bindings.update(1, contact("b", 500, 20));
        assert_eq!(uris(&bindings), ["d", "b", "c", "a", "e"]);
        bindings.update(0, contact("d", 0, 20));
        assert_eq!(uris(&bindings), ["b", "c", "d", "a", "e"]);
    }

    #[test]
    fn the_newest_comes_first_where_that_is_wanted() {
        let mut bindings = Bindings::new([], Order::Newest);
        for (uri, q) in [("a", 1000), ("b", 500), ("c", -1)] {
            bindings.insert(contact(uri, q, 10));
        }
        assert_eq!(uris(&bindings), ["c", "b", "a"]);
        bindings.update(2, contact("a", 1000, 20));
        assert_eq!(uris(&bindings), ["a", "c", "b"]);
    }

    #[test]
    fn each_change_is_told_with_the_contact_it_befell() {
        let mut bindings =
            Bindings::new([contact("a", 0, 5), contact("b", 0, 9), contact("c", 0, 0)], Order::Preference);
        assert_eq!(bindings.expire(5), 1);
        assert_eq!(bindings.next_expiry(), Some(9));
        bindings.update(0, contact("b", 0, 50));
        bindings.insert(contact("d", 0, 60));
        assert_eq!(bindings.remove_where(|c| c.uri == b"c"), 1);
        bindings.remove(7);
        let reported: Vec<_> =
            bindings.changes().iter().map(|(change, c)| (*change, c.uri, c.expires)).collect();
        assert_eq!(
            reported,
            [
                (Change::Expired, &b"a"[..], 5),
                (Change::Updated, b"b", 50),
                (Change::Inserted, b"d", 60),
                (Change::Deleted, b"c", 0),
            ]
        );
        assert_eq!(bindings.next_expiry(), Some(50));
    }
}
