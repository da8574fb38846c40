//! Token buckets: per (address, probe), per network and in all, taken from together or not at all.
//! After a pause nothing is made up for: a bucket holds what one second brings, and at least one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

use super::Rate;
use crate::target::ProbeKind;

/// A compiled budget; `None` means unbounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// To one address, in the order of [`ProbeKind::ALL`].
    pub per_address: [Rate; 4],
    /// To one /24 or /48.
    pub per_network: Option<Rate>,
    /// In all.
    pub total: Option<Rate>,
}

impl Budget {
    /// One rate to each address and nothing else: `--rate` replaces all budgets of a run.
    pub fn flat(rate: Rate) -> Self {
        Self { per_address: [rate; 4], per_network: None, total: None }
    }

    /// The rate of one probe to one address.
    pub fn per_address(&self, probe: ProbeKind) -> Rate {
        let at = ProbeKind::ALL.iter().position(|known| *known == probe);
        self.per_address[at.unwrap_or_default()]
    }
}

/// The buckets of a budget. A bucket that is full again is forgotten, so that memory follows what
/// was contacted lately, and never passes [`Buckets::MOST`].
#[derive(Debug)]
pub struct Buckets {
    budget: Budget,
    buckets: HashMap<Key, Bucket>,
    sweep_at: usize,
    /// A full house is swept at most once in a second.
    closed_until: Option<Instant>,
}

impl Buckets {
    /// The most buckets ever held; beyond, contacts wait.
    pub const MOST: usize = 100_000;

    /// Full buckets.
    pub fn new(budget: Budget) -> Self {
        Self { budget, buckets: HashMap::new(), sweep_at: SWEEP, closed_until: None }
    }

    /// Changes the budget; what was spent stays spent.
    pub fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// The budget in force.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Takes leave for one contact, or says how long to wait before asking again.
    pub fn reserve(
        &mut self,
        probe: ProbeKind,
        address: IpAddr,
        now: Instant,
    ) -> Result<(), Duration> {
        let address = address.to_canonical();
        let levels = [
            Some((Key::Address(probe, address), self.budget.per_address(probe))),
            self.budget.per_network.map(|rate| (Key::Network(network(address)), rate)),
            self.budget.total.map(|rate| (Key::Total, rate)),
        ];
        self.reserve_all(levels, now)
    }

    /// The same for a target with a rate of its own, which stands in place of every other budget.
    pub fn reserve_at(
        &mut self,
        rate: Rate,
        probe: ProbeKind,
        address: IpAddr,
        now: Instant,
    ) -> Result<(), Duration> {
        self.reserve_all([Some((Key::Own(probe, address.to_canonical()), rate)), None, None], now)
    }

    /// Where one level has no room, nothing is taken from the others.
    fn reserve_all(
        &mut self,
        levels: [Option<(Key, Rate)>; 3],
        now: Instant,
    ) -> Result<(), Duration> {
        let levels = || levels.into_iter().flatten();
        let wait = levels().map(|(key, rate)| self.wait(key, rate, now)).max();
        match wait {
            Some(wait) if !wait.is_zero() => return Err(wait),
            _ => {}
        }
        self.make_room(now)?;
        for (key, rate) in levels() {
            let bucket = self.buckets.entry(key).or_insert_with(|| Bucket::full(rate, now));
            bucket.take(rate, now);
        }
        Ok(())
    }

    /// How many buckets are held.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether every bucket is full.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    fn wait(&self, key: Key, rate: Rate, now: Instant) -> Duration {
        self.buckets.get(&key).map_or(Duration::ZERO, |bucket| bucket.wait(rate, now))
    }

    fn make_room(&mut self, now: Instant) -> Result<(), Duration> {
        if self.buckets.len() < self.sweep_at {
            return Ok(());
        }
        if let Some(until) = self.closed_until.filter(|until| *until > now) {
            return Err(until - now);
        }
        self.buckets.retain(|_, bucket| bucket.tokens(bucket.rate, now) < capacity(bucket.rate));
        self.sweep_at = (2 * self.buckets.len()).clamp(SWEEP, Self::MOST);
        if self.buckets.len() + 3 <= Self::MOST {
            return Ok(());
        }
        self.closed_until = Some(now + FULL_HOUSE);
        Err(FULL_HOUSE)
    }
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Key {
    Address(ProbeKind, IpAddr),
    Network(IpAddr),
    /// An address as targets with a rate of their own contact it.
    Own(ProbeKind, IpAddr),
    Total,
}

/// The /24 or /48 of an address: its first one.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80)).into(),
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    /// By which it fills, as of the last time that something was taken.
    rate: Rate,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: capacity(rate), at: now, rate }
    }

    fn tokens(&self, rate: Rate, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + passed * rate.hertz()).min(capacity(rate))
    }

    fn wait(&self, rate: Rate, now: Instant) -> Duration {
        let lacking = 1.0 - self.tokens(rate, now);
        // Rounding must not make the last nanosecond wait for ever.
        if lacking <= 1e-6 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(lacking / rate.hertz()).max(Duration::from_millis(1))
    }

    fn take(&mut self, rate: Rate, now: Instant) {
        self.tokens = self.tokens(rate, now) - 1.0;
        self.at = self.at.max(now);
        self.rate = rate;
    }
}

/// What a bucket holds at most: a second's worth.
fn capacity(rate: Rate) -> f64 {
    rate.hertz().max(1.0)
}

/// How long a full house stays closed.
const FULL_HOUSE: Duration = Duration::from_secs(1);

/// Below this size, nothing is swept.
const SWEEP: usize = 1_024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(hertz: f64) -> Rate {
        Rate::per_second(hertz).expect("a rate")
    }

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    /// Asks in a loop, as a waiter does; the number of contacts in `seconds`.
    fn contacts(
        buckets: &mut Buckets,
        start: Instant,
        seconds: u64,
        to: impl Fn(u32) -> IpAddr,
    ) -> u32 {
        let (mut now, mut count) = (start, 0);
        while now < start + Duration::from_secs(seconds) {
            match buckets.reserve(ProbeKind::Ports, to(count), now) {
                Ok(()) => count += 1,
                Err(wait) => now += wait,
            }
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_gets_its_rate_and_a_seconds_burst() {
        let mut buckets = Buckets::new(Budget::flat(rate(20.0)));
        let start = Instant::now();
        let count = contacts(&mut buckets, start, 10, |_| address(1));
        assert!((200..=221).contains(&count), "{count}");
        // A pause of an hour is not made up for.
        let later = start + Duration::from_secs(3_600);
        let burst =
            (0..100).filter(|_| buckets.reserve(ProbeKind::Ports, address(1), later).is_ok());
        assert_eq!(burst.count(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_of_a_targets_own_stands_in_place_of_every_budget_and_spends_none_of_them() {
        let now = Instant::now();
        let mut buckets = Buckets::new(Budget::flat(rate(0.1)));
        let own = |buckets: &mut Buckets| {
            buckets.reserve_at(rate(5.0), ProbeKind::Tls, address(1), now).is_ok()
        };
        assert_eq!((0..10).filter(|_| own(&mut buckets)).count(), 5);
        assert!(buckets.reserve(ProbeKind::Tls, address(1), now).is_ok());
        assert!(buckets.reserve(ProbeKind::Tls, address(1), now).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_rate_still_lets_one_through_at_once() {
        let mut buckets = Buckets::new(Budget::flat(rate(0.5)));
        let now = Instant::now();
        assert_eq!(buckets.reserve(ProbeKind::Tls, address(1), now), Ok(()));
        assert_eq!(buckets.reserve(ProbeKind::Tls, address(1), now), Err(Duration::from_secs(2)));
        assert_eq!(buckets.reserve(ProbeKind::Dns, address(1), now), Ok(()));
        assert_eq!(buckets.reserve(ProbeKind::Tls, address(2), now), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_and_the_total_bound_many_addresses() {
        let mut budget = Budget::flat(rate(1_000.0));
        budget.per_network = Some(rate(50.0));
        budget.total = Some(rate(200.0));
        let start = Instant::now();
        let one_network = contacts(&mut Buckets::new(budget), start, 4, |n| address(n % 250));
        assert!((200..=251).contains(&one_network), "{one_network}");
        let spread = contacts(&mut Buckets::new(budget), start, 4, |n| address(n * 256));
        assert!((800..=1_001).contains(&spread), "{spread}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_takes_nothing_from_any_level() {
        let mut budget = Budget::flat(rate(1.0));
        budget.total = Some(rate(2.0));
        let (mut buckets, now) = (Buckets::new(budget), Instant::now());
        assert!(buckets.reserve(ProbeKind::Tls, address(1), now).is_ok());
        for _ in 0..10 {
            assert!(buckets.reserve(ProbeKind::Tls, address(1), now).is_err());
        }
        assert!(buckets.reserve(ProbeKind::Tls, address(2), now).is_ok());
        assert!(buckets.reserve(ProbeKind::Tls, address(3), now).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn full_buckets_are_forgotten() {
        let mut buckets = Buckets::new(Budget::flat(rate(20.0)));
        let mut now = Instant::now();
        for n in 0..50_000 {
            assert!(buckets.reserve(ProbeKind::Ports, address(n), now).is_ok());
            now += Duration::from_millis(5);
        }
        assert!(buckets.len() <= 2 * SWEEP, "{} buckets", buckets.len());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_even_where_nothing_is_full() {
        let mut buckets = Buckets::new(Budget::flat(rate(0.001)));
        let now = Instant::now();
        let taken =
            (0..120_000).filter(|n| buckets.reserve(ProbeKind::Tls, address(*n), now).is_ok());
        assert!(taken.count() <= Buckets::MOST && buckets.len() <= Buckets::MOST);
    }

    #[test]
    fn an_ipv4_address_is_the_same_one_in_ipv6_clothes() {
        let now = Instant::now();
        let mut buckets = Buckets::new(Budget::flat(rate(1.0)));
        let mapped = "::ffff:192.0.2.1".parse().expect("an address");
        assert!(buckets.reserve(ProbeKind::Tls, mapped, now).is_ok());
        let plain = "192.0.2.1".parse().expect("an address");
        assert!(buckets.reserve(ProbeKind::Tls, plain, now).is_err());
        let v6: IpAddr = "2001:db8:1:2::3".parse().expect("an address");
        assert_eq!(network(v6).to_string(), "2001:db8:1::");
    }

    proptest! {
        #[test]
        fn no_window_of_any_length_holds_more_than_rate_and_burst(
            hertz in 0.1_f64..10.0,
            pauses in prop::collection::vec(0_u64..2_000, 1..40),
        ) {
            let mut buckets = Buckets::new(Budget::flat(rate(hertz)));
            let mut now = Instant::now();
            let mut granted = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                while buckets.reserve(ProbeKind::Http, address(1), now).is_ok() {
                    granted.push(now);
                }
            }
            for (first, start) in granted.iter().enumerate() {
                for (last, end) in granted.iter().enumerate().skip(first) {
                    let allowed = (*end - *start).as_secs_f64() * hertz + hertz.max(1.0);
                    prop_assert!((last - first + 1) as f64 <= allowed + 1e-3);
                }
            }
        }

        #[test]
        fn after_the_wait_it_is_granted(hertz in 0.01_f64..10_000.0, spent in 1_u32..50) {
            let mut buckets = Buckets::new(Budget::flat(rate(hertz)));
            let mut now = Instant::now();
            for _ in 0..spent {
                if let Err(wait) = buckets.reserve(ProbeKind::Dns, address(9), now) {
                    now += wait;
                    prop_assert_eq!(buckets.reserve(ProbeKind::Dns, address(9), now), Ok(()));
                }
            }
        }
    }
}
