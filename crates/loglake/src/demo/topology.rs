//! Which services run, how much each writes, and where.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::incident::Trouble;

const REGIONS: [&str; 3] = ["eu-central-1", "us-east-1", "ap-south-1"];
const HOSTS: usize = 60;
const PODS_PER_SERVICE: usize = 8;

/// How much more a service writes while it is in trouble.
const TROUBLE_WEIGHT: u32 = 3;

/// What kind of lines a service writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Access logs.
    Gateway,
    /// Lines of `message::templates_of`.
    Application,
    /// A database server's log.
    Database,
    /// A Java program's log, with stack traces.
    Jvm,
    /// The kernel's log of a host; no pod.
    Kernel,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Share of all records, in parts of the sum.
    weight: u32,
}

const fn service(name: &'static str, kind: Kind, weight: u32) -> Service {
    Service { name, kind, weight }
}

/// A few services write most of the lines, as in production.
pub(super) const SERVICES: [Service; 12] = [
    service("gateway", Kind::Gateway, 340),
    service("catalog", Kind::Application, 160),
    service("checkout", Kind::Application, 120),
    service("auth", Kind::Application, 90),
    service("search", Kind::Jvm, 80),
    service("payments", Kind::Application, 60),
    service("orders-db", Kind::Database, 50),
    service("ledger", Kind::Jvm, 35),
    service("admin-gateway", Kind::Gateway, 25),
    service("kernel", Kind::Kernel, 20),
    service("mailer", Kind::Application, 12),
    service("invoices", Kind::Jvm, 8),
];

/// A pod on its host.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) host: usize,
}

/// Who writes a record: indexes into [`SERVICES`] and the service's pods.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) service: usize,
    pub(super) pod: usize,
}

#[derive(Debug)]
pub(super) struct Topology {
    hosts: Vec<String>,
    /// By service.
    pods: Vec<Vec<Pod>>,
}

impl Topology {
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        let hosts = (0..HOSTS)
            .map(|_| {
                format!(
                    "ip-10-{}-{}-{}",
                    rng.random::<u8>(),
                    rng.random::<u8>(),
                    rng.random::<u8>()
                )
            })
            .collect();
        let pods = SERVICES
            .iter()
            .map(|service| (0..PODS_PER_SERVICE).map(|_| pod(service.name, rng)).collect())
            .collect();
        Self { hosts, pods }
    }

    /// Draws who writes the next record.
    pub(super) fn place(&self, trouble: Option<Trouble>, rng: &mut ChaCha8Rng) -> Place {
        let weight = |(index, service): (usize, &Service)| match trouble {
            Some(trouble) if trouble.service == index => service.weight * TROUBLE_WEIGHT,
            _ => service.weight,
        };
        let total: u32 = SERVICES.iter().enumerate().map(weight).sum();
        let mut drawn = rng.random_range(0..total);
        let service = SERVICES.iter().enumerate().position(|entry| {
            let weight = weight(entry);
            let found = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            found
        });
        Place { service: service.unwrap_or(0), pod: rng.random_range(0..PODS_PER_SERVICE) }
    }

    pub(super) fn pod(&self, place: Place) -> &Pod {
        &self.pods[place.service][place.pod]
    }

    pub(super) fn host(&self, place: Place) -> &str {
        &self.hosts[self.pod(place).host]
    }

    pub(super) fn region(&self, place: Place) -> &'static str {
        REGIONS[self.pod(place).host % REGIONS.len()]
    }
}

fn pod(service: &str, rng: &mut ChaCha8Rng) -> Pod {
    let name =
        format!("{service}-{:08x}-{:05x}", rng.random::<u32>(), rng.random_range(0..1_u32 << 20));
    Pod { name, host: rng.random_range(0..HOSTS) }
}
