//! SRV records, and the order in which their targets are tried (RFC 2782).

/// SRV records of one answer that are looked at. The order of more is not worth its time.
pub(super) const MAX_SRV_RECORDS: usize = 32;

/// One SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Srv {
    /// Lower ones first.
    pub(super) priority: u16,
    /// Its share among those of the same priority.
    pub(super) weight: u16,
    /// Where the target listens.
    pub(super) port: u16,
    /// The host, as an absolute name with its final dot.
    pub(super) target: String,
}

impl Srv {
    /// Whether it says that the service is decidedly not there.
    pub(super) fn refuses(&self) -> bool {
        self.target == "."
    }
}

/// Puts the records into the order in which they are tried: by priority, and by weight within one. `pick(sum)` answers
/// with a number from 0 to `sum`, both included.
pub(super) fn order(records: &mut Vec<Srv>, mut pick: impl FnMut(u32) -> u32) {
    records.truncate(MAX_SRV_RECORDS);
    // Weightless records of a priority come first, as the RFC arranges them, so that they have a small chance.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut rest = records.as_mut_slice();
    while let Some(first) = rest.first() {
        let priority = first.priority;
        let same = rest.iter().take_while(|record| record.priority == priority).count();
        let sum = rest[..same].iter().map(|record| u32::from(record.weight)).sum();
        let chosen = chosen(&rest[..same], pick(sum));
        // A turn, not a swap: the weightless stay in front.
        rest[..=chosen].rotate_right(1);
        rest = &mut rest[1..];
    }
}

/// The first of `records` whose running sum of weights reaches `number`.
fn chosen(records: &[Srv], number: u32) -> usize {
    let mut sum = 0;
    let reaches = |record: &Srv| {
        sum += u32::from(record.weight);
        sum >= number
    };
    records.iter().position(reaches).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 5060, target: target.to_owned() }
    }

    fn names(records: &[Srv]) -> Vec<&str> {
        records.iter().map(|record| record.target.as_str()).collect()
    }

    #[test]
    fn priority_goes_before_weight() {
        let mut records = vec![srv(20, 100, "c."), srv(10, 1, "a."), srv(30, 0, "d."), srv(10, 0, "b.")];
        order(&mut records, |sum| sum);
        assert_eq!(names(&records), ["a.", "b.", "c.", "d."]);
    }

    #[test]
    fn the_number_falls_into_the_running_sum() {
        let of = |number: u32| {
            let mut records = vec![srv(1, 0, "zero."), srv(1, 10, "ten."), srv(1, 30, "thirty.")];
            let mut first = true;
            order(&mut records, |sum| if std::mem::take(&mut first) { number } else { sum });
            records.swap_remove(0).target
        };
        assert_eq!((of(0).as_str(), of(1).as_str(), of(10).as_str()), ("zero.", "ten.", "ten."));
        assert_eq!((of(11).as_str(), of(40).as_str()), ("thirty.", "thirty."));
    }

    #[test]
    fn the_sum_shrinks_with_each_choice() {
        let mut sums = vec![];
        let mut records = vec![srv(1, 10, "a."), srv(1, 30, "b."), srv(1, 60, "c.")];
        order(&mut records, |sum| {
            sums.push(sum);
            sum
        });
        assert_eq!(sums, [100, 40, 10]);
        assert_eq!(names(&records), ["c.", "b.", "a."]);
    }

    #[test]
    fn a_flood_of_records_is_cut() {
        let mut records: Vec<Srv> = (0..5000).map(|_| srv(1, u16::MAX, "a.")).collect();
        order(&mut records, |sum| sum / 2);
        assert_eq!(records.len(), MAX_SRV_RECORDS);
    }

    proptest! {
        #[test]
        fn an_order_loses_nothing(
            weights in proptest::collection::vec((0u16..4, 0u16..5), 0..MAX_SRV_RECORDS),
            numbers in proptest::collection::vec(any::<u32>(), MAX_SRV_RECORDS),
        ) {
            let mut records: Vec<Srv> =
                weights.iter().enumerate().map(|(n, (p, w))| srv(*p, *w, &n.to_string())).collect();
            let before = records.clone();
            let mut numbers = numbers.into_iter();
            order(&mut records, |sum| numbers.next().unwrap() % (sum + 1));
            prop_assert!(records.is_sorted_by_key(|record| record.priority));
            prop_assert_eq!(records.len(), before.len());
            prop_assert!(before.iter().all(|record| records.contains(record)));
        }
    }
}
