//! What services write.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::incident::Trouble;
use super::record::{Access, Record};
use super::template::{few_often, fill, ip, milliseconds};
use super::topology::{Kind, Place, SERVICES, Topology};

/// Share of lines that tell of trouble: on ordinary days, and within an incident.
const TROUBLE_SHARE: f64 = 0.008;
const TROUBLE_SHARE_IN_INCIDENT: f64 = 0.4;

/// Share of an application's lines that are about one of the latest requests.
const TRACED_SHARE: f64 = 0.55;
const TRACES_KEPT: usize = 64;

/// A level and a message with slots.
type Template = (&'static str, &'static str);

/// A service's lines: ordinary ones, those that occur often first, and those of trouble.
struct Templates {
    ordinary: &'static [Template],
    trouble: &'static [Template],
}

const CATALOG: Templates = Templates {
    ordinary: &[
        ("DEBUG", "cache hit for product {sku} in {ms} ms"),
        ("INFO", "served product {sku} to user {user} in {ms} ms"),
        ("INFO", "listed {count} products of page {digit} in {ms} ms"),
        ("DEBUG", "cache miss for product {sku}, loading from store"),
        ("INFO", "price of {sku} changed to {amount} EUR by job {hex}"),
        ("INFO", "refreshed {count} products from supplier feed {hex} in {slow_ms} ms"),
    ],
    trouble: &[
        ("WARN", "loading product {sku} took {slow_ms} ms, budget is 150 ms"),
        ("ERROR", "cannot load product {sku}: store answered 503 after {digit} attempts"),
        ("ERROR", "supplier feed {hex} ended after {big} bytes, expected {big}"),
    ],
};

const CHECKOUT: Templates = Templates {
    ordinary: &[
        ("INFO", "added {digit} x {sku} to the cart of user {user}"),
        ("INFO", "order {order} of user {user} placed, total {amount} EUR"),
        ("DEBUG", "reserved {digit} x {sku} for order {order} in {ms} ms"),
        ("INFO", "order {order} paid and handed to fulfilment in {slow_ms} ms"),
        ("INFO", "cart of user {user} expired with {digit} items"),
    ],
    trouble: &[
        ("WARN", "only {digit} x {sku} left, order {order} split"),
        ("ERROR", "order {order} not placed: payments did not answer within 2000 ms"),
        (
            "ERROR",
            "cannot reserve {sku} for order {order}: deadlock detected, attempt {digit} of 3",
        ),
        ("WARN", "circuit breaker for payments is open, {count} requests turned away"),
    ],
};

const AUTH: Templates = Templates {
    ordinary: &[
        ("DEBUG", "token of user {user} verified in {ms} ms"),
        ("INFO", "user {user} signed in from {ip}"),
        ("INFO", "session {hex} of user {user} renewed"),
        ("WARN", "wrong password for user {user} from {ip}, attempt {digit}"),
        ("INFO", "user {user} signed out"),
    ],
    trouble: &[
        ("WARN", "{count} failed sign-ins from {ip} within a minute, address blocked for 900 s"),
        (
            "ERROR",
            "cannot reach the directory: connection to {ip}:636 timed out after {slow_ms} ms",
        ),
        ("ERROR", "signing key {hex} is not known, {count} tokens refused"),
    ],
};

const PAYMENTS: Templates = Templates {
    ordinary: &[
        ("INFO", "authorized {amount} EUR for order {order} in {slow_ms} ms"),
        ("INFO", "captured {amount} EUR for order {order}"),
        ("DEBUG", "acquirer answered 00 for order {order} in {slow_ms} ms"),
        ("INFO", "card of user {user} declined for order {order}: insufficient funds"),
        ("INFO", "refunded {amount} EUR of order {order} to user {user}"),
    ],
    trouble: &[
        ("WARN", "acquirer is slow: {slow_ms} ms for order {order}"),
        (
            "ERROR",
            "acquirer did not answer for order {order}, outcome unknown, will be asked again",
        ),
        ("ERROR", "webhook {hex} has a wrong signature, {big} bytes dropped"),
        ("FATAL", "no connection to any acquirer, {count} payments are waiting"),
    ],
};

const MAILER: Templates = Templates {
    ordinary: &[
        ("INFO", "sent confirmation of order {order} to user {user} in {slow_ms} ms"),
        ("INFO", "queue holds {count} mails, oldest is {digit} s old"),
        ("INFO", "sent newsletter {hex} to {count} recipients"),
    ],
    trouble: &[
        ("WARN", "relay {ip} deferred the mail to user {user}: 451 try again later"),
        ("ERROR", "cannot deliver to user {user}: 550 mailbox unavailable"),
    ],
};

const DATABASE: Templates = Templates {
    ordinary: &[
        ("INFO", "checkpoint complete: wrote {count} buffers in {slow_ms} ms"),
        ("INFO", "connection authorized: user=shop database=orders client={ip}"),
        (
            "INFO",
            "duration: {slow_ms} ms  statement: SELECT * FROM {table} WHERE order_id = '{order}'",
        ),
        ("INFO", "automatic vacuum of table \"shop.{table}\": {count} row versions removed"),
        ("DEBUG", "disconnection: session time {ms} ms, client={ip}"),
    ],
    trouble: &[
        (
            "ERROR",
            "deadlock detected while updating {table}: process {count} waits for process {count}",
        ),
        ("ERROR", "canceling statement due to statement timeout after {slow_ms} ms"),
        ("WARN", "could not extend table \"shop.{table}\": only {big} bytes are free"),
        ("FATAL", "remaining connection slots are reserved, client={ip}"),
    ],
};

const JVM: Templates = Templates {
    ordinary: &[
        ("INFO", "Handled request {hex} with {count} results in {ms} ms"),
        ("DEBUG", "Index segment {hex} merged, {big} documents"),
        ("INFO", "GC pause (young) {ms} ms, heap {count} MiB of 8192 MiB"),
        ("INFO", "Booked {amount} EUR for order {order}"),
    ],
    trouble: &[
        ("WARN", "GC pause (full) {slow_ms} ms, heap 8100 MiB of 8192 MiB"),
        (
            "ERROR",
            "Request {hex} failed\njava.net.SocketTimeoutException: Read timed out after {slow_ms} ms\n\tat com.example.shop.net.Connection.read(Connection.java:{count})\n\tat com.example.shop.index.Shard.fetch(Shard.java:118)\n\tat com.example.shop.index.Query.lambda$run$0(Query.java:64)\n\tat java.base/java.util.concurrent.FutureTask.run(FutureTask.java:317)\n\tat java.base/java.lang.Thread.run(Thread.java:1583)",
        ),
        (
            "ERROR",
            "Cannot book order {order}\njava.lang.IllegalStateException: balance of account {big} would be negative\n\tat com.example.ledger.Account.debit(Account.java:88)\n\tat com.example.ledger.Booking.apply(Booking.java:41)\n\t... 23 more\nCaused by: com.example.ledger.OptimisticLockException: row was changed by transaction {hex}\n\tat com.example.ledger.Store.update(Store.java:{count})\n\t... 25 more",
        ),
        (
            "ERROR",
            "OutOfMemoryError: Java heap space, thread pool of {count} rejected request {hex}",
        ),
    ],
};

const KERNEL: Templates = Templates {
    ordinary: &[
        ("INFO", "[{uptime}] eth0: link is up, 10000 Mbit/s, full duplex"),
        ("INFO", "[{uptime}] EXT4-fs (nvme1n1p1): mounted filesystem with ordered data mode"),
        ("INFO", "[{uptime}] audit: type=1400 pid={count} comm=\"containerd\""),
        ("WARN", "[{uptime}] TCP: possible SYN flooding on port 8443, sending cookies"),
    ],
    trouble: &[
        ("ERROR", "[{uptime}] Out of memory: killed process {count} (java) total-vm:{big}kB"),
        ("ERROR", "[{uptime}] nvme nvme1: I/O {count} timeout, aborting"),
        (
            "FATAL",
            "[{uptime}] EXT4-fs error (device nvme1n1p1): journal has aborted, remounting read-only",
        ),
    ],
};

const LOGGERS: [&str; 4] = [
    "com.example.shop.index.Query",
    "com.example.shop.net.Server",
    "com.example.ledger.Booking",
    "com.example.runtime.Memory",
];

const METHODS: [&str; 10] =
    ["GET", "GET", "GET", "GET", "GET", "GET", "GET", "POST", "POST", "DELETE"];
const STATUSES: [u16; 20] = [
    200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 201, 204, 301, 304, 304, 401, 404,
    404,
];
const STATUSES_OF_TROUBLE: [u16; 5] = [500, 502, 503, 503, 504];
const USER_AGENTS: [&str; 5] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Mobile/15E148 Safari/604.1",
    "shop-app/7.12 (Android 15)",
    "curl/8.9.1",
    "Mozilla/5.0 (compatible; examplebot/2.1)",
];

/// The requests that the gateways saw last, for other services to write about.
#[derive(Debug, Default)]
pub(super) struct Traces {
    latest: Vec<String>,
    next: usize,
}

impl Traces {
    fn remember(&mut self, trace: String) {
        if self.latest.len() < TRACES_KEPT {
            self.latest.push(trace);
        } else {
            self.latest[self.next] = trace;
            self.next = (self.next + 1) % TRACES_KEPT;
        }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Option<String> {
        if self.latest.is_empty() || !rng.random_bool(TRACED_SHARE) {
            return None;
        }
        Some(self.latest[rng.random_range(0..self.latest.len())].clone())
    }
}

/// The next record of `place`, without its time.
pub(super) fn record(
    topology: &Topology,
    place: Place,
    incident: Option<Trouble>,
    traces: &mut Traces,
    rng: &mut ChaCha8Rng,
) -> Record {
    let service = &SERVICES[place.service];
    let in_incident = incident.is_some_and(|trouble| trouble.service == place.service);
    let in_trouble =
        rng.random_bool(if in_incident { TROUBLE_SHARE_IN_INCIDENT } else { TROUBLE_SHARE });
    let mut record = Record::of(topology, place);
    match service.kind {
        Kind::Gateway => access(&mut record, in_trouble, in_incident, traces, rng),
        kind => {
            let template = draw(templates_of(kind, service.name), in_trouble, rng);
            record.level = template.0;
            fill(&mut record, template.1, rng);
            if kind == Kind::Jvm {
                record.logger = Some(LOGGERS[rng.random_range(0..LOGGERS.len())]);
                record.thread = Some(format!("worker-{}", rng.random_range(1..33)));
            }
            if matches!(kind, Kind::Application | Kind::Jvm) {
                record.trace_id = traces.draw(rng);
            }
        }
    }
    if record.trace_id.is_some() {
        record.span_id = Some(format!("{:016x}", rng.random::<u64>()));
    }
    record
}

fn templates_of(kind: Kind, service: &str) -> &'static Templates {
    match (kind, service) {
        (Kind::Database, _) => &DATABASE,
        (Kind::Jvm, _) => &JVM,
        (Kind::Kernel, _) => &KERNEL,
        (_, "checkout") => &CHECKOUT,
        (_, "auth") => &AUTH,
        (_, "payments") => &PAYMENTS,
        (_, "mailer") => &MAILER,
        _ => &CATALOG,
    }
}

fn draw(templates: &Templates, in_trouble: bool, rng: &mut ChaCha8Rng) -> Template {
    let drawn: f64 = rng.random();
    let (of, drawn) = match in_trouble {
        true => (templates.trouble, drawn),
        // The first ones more often.
        false => (templates.ordinary, drawn * drawn),
    };
    of[(drawn * of.len() as f64) as usize]
}

fn access(
    record: &mut Record,
    in_trouble: bool,
    in_incident: bool,
    traces: &mut Traces,
    rng: &mut ChaCha8Rng,
) {
    let statuses: &[u16] = if in_trouble { &STATUSES_OF_TROUBLE } else { &STATUSES };
    let status = statuses[rng.random_range(0..statuses.len())];
    let access = Access {
        client_ip: ip(rng),
        method: METHODS[rng.random_range(0..METHODS.len())],
        path: path(rng),
        status,
        bytes: u64::from(180 + few_often(60_000, rng)),
        duration_ms: milliseconds(if in_incident { 30.0 } else { 4.0 }, rng),
        user_agent: USER_AGENTS[rng.random_range(0..USER_AGENTS.len())],
    };
    record.level = match status {
        500.. => "ERROR",
        400.. => "WARN",
        _ => "INFO",
    };
    record.message = format!(
        "{} \"{} {} HTTP/1.1\" {status} {} {} ms",
        access.client_ip, access.method, access.path, access.bytes, access.duration_ms
    );
    record.access = Some(access);
    let trace = format!("{:032x}", rng.random::<u128>());
    traces.remember(trace.clone());
    record.trace_id = Some(trace);
}

fn path(rng: &mut ChaCha8Rng) -> String {
    match rng.random_range(0..10) {
        0..4 => format!("/api/v2/products/{}", few_often(4_000, rng)),
        4 => format!("/api/v2/orders/o-{:010}", rng.random_range(0..10_000_000_000_u64)),
        5 => format!("/api/v2/users/u{:06}/cart", few_often(50_000, rng)),
        6 => format!("/search?q={}&page={}", few_often(900, rng), few_often(20, rng)),
        7 => format!("/static/shop.{:08x}.js", few_often(16, rng)),
        8 => "/api/v2/checkout".to_owned(),
        _ => "/healthz".to_owned(),
    }
}

/// Every message with slots there is, for the test of the slots.
#[cfg(test)]
pub(super) fn all_templates() -> impl Iterator<Item = Template> {
    [&CATALOG, &CHECKOUT, &AUTH, &PAYMENTS, &MAILER, &DATABASE, &JVM, &KERNEL]
        .into_iter()
        .flat_map(|templates| templates.ordinary.iter().chain(templates.trouble).copied())
}
