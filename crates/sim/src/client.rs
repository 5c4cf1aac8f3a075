//! Clients: send records, keep the ledger of what they were told, try again.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, Int16Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use loglake_model::{
    Column, ColumnType, MESSAGE, NANOS, NameForm, SERVICE, TIMESTAMP, TableName, TenantName,
};
use tokio::time::{sleep, timeout};

use crate::hub::Hub;
use crate::ledger::RecordId;
use crate::world::{Party, World};

/// The column that holds the id of the attempt.
pub const ID: &str = "attempt";
pub const TABLES: [&str; 2] = ["logs", "audit"];
const SERVICES: [&str; 5] = ["api", "web", "db", "mail", "cron"];
const PATIENCE: Duration = Duration::from_secs(4);

pub fn table_name(table: usize) -> TableName {
    TableName::new(TABLES[table]).unwrap_or_else(|_| TableName::unnamed())
}

/// Records of one table to store.
#[derive(Clone, Debug)]
pub struct Request {
    pub table: usize,
    pub ids: Vec<RecordId>,
    pub services: Vec<&'static str>,
    /// Named, so that a repeat adds nothing.
    pub key: Option<String>,
    /// A column of its own, now and then.
    pub extra: Option<u64>,
    pub at_micros: i64,
}

/// What a node says; the text is why not.
pub type Answer = Result<(), String>;

impl Request {
    pub fn tenant(&self) -> TenantName {
        TenantName::unnamed()
    }

    /// The rows as a decoder would make them.
    pub fn batch(&self) -> RecordBatch {
        let rows = self.ids.len();
        let column = |name: &str, kind| Column::new(name, kind, NameForm::Nested).field();
        let messages = self.ids.iter().map(|id| format!("record {id} was written"));
        let times =
            TimestampMicrosecondArray::from(vec![self.at_micros; rows]).with_timezone("UTC");
        let mut columns: Vec<(Field, ArrayRef)> = vec![
            (Field::new(TIMESTAMP, times_type(), false), Arc::new(times)),
            (Field::new(NANOS, DataType::Int16, false), Arc::new(Int16Array::from(vec![0; rows]))),
            (
                column(SERVICE, ColumnType::String),
                Arc::new(StringArray::from(self.services.clone())),
            ),
            (
                column(MESSAGE, ColumnType::String),
                Arc::new(StringArray::from_iter_values(messages)),
            ),
            (column(ID, ColumnType::Int64), Arc::new(Int64Array::from(self.ids.clone()))),
        ];
        if let Some(extra) = self.extra {
            let name = format!("extra_{extra}");
            let values = Arc::new(Int64Array::from(vec![1; rows]));
            columns.push((column(&name, ColumnType::Int64), values));
        }
        let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .expect("every column has a value for each id")
    }
}

fn times_type() -> DataType {
    DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()))
}

/// What clients need to know of a run.
#[derive(Clone)]
pub struct Clients {
    pub world: Arc<World>,
    pub hub: Arc<Hub>,
    pub ingesters: Vec<Party>,
    pub until_ms: u64,
    pub pause_ms: u64,
}

impl Clients {
    /// One client's life.
    pub async fn run(self, number: u64) {
        let mut sent = 0;
        while self.world.now_ms() < self.until_ms {
            let pause = self.world.dice(|dice| dice.within(1..2 * self.pause_ms));
            sleep(Duration::from_millis(pause)).await;
            sent += 1;
            let request = self.request(&format!("key-{number}-{sent}"));
            self.store(request).await;
        }
    }

    fn request(&self, key: &str) -> Request {
        let (table, services, keyed, extra, late_ms) = self.world.dice(|dice| {
            let rows = dice.within(1..5);
            let services = (0..rows).map(|_| *dice.pick(&SERVICES)).collect::<Vec<_>>();
            let table = usize::from(dice.per_mille(250));
            let extra = dice.per_mille(60).then(|| dice.within(0..6));
            let late = if dice.per_mille(50) { 3_600_000 } else { 0 };
            (table, services, dice.per_mille(300), extra, late)
        });
        let ids = self.world.ledger(|l| services.iter().map(|_| l.send(table)).collect());
        let at_micros = 1_793_537_910_000_000 + (self.world.now_ms() as i64 - late_ms) * 1_000;
        let key = keyed.then(|| key.to_owned());
        Request { table, ids, services, key, extra, at_micros }
    }

    /// Sends until it is stored, or patience ends. A repeat has the same ids only under a key.
    async fn store(&self, mut request: Request) {
        for attempt in 0..5 {
            let to = self.world.dice(|dice| *dice.pick(&self.ingesters));
            let answer = timeout(PATIENCE, self.hub.append(to, request.clone())).await;
            match answer {
                Ok(Some(Ok(()))) => {
                    self.world.ledger(|ledger| ledger.ack(&request.ids));
                    self.world.event(format_args!("{to} acked {:?}", request.ids));
                    self.world.count(match (&request.key, attempt) {
                        (Some(_), 1..) => "clients: a repeated key was acknowledged",
                        _ => "clients: acknowledged",
                    });
                    return;
                }
                Ok(Some(Err(why))) => {
                    self.world.event(format_args!("{to} refused {:?}: {why}", request.ids));
                    self.world.count("clients: refused");
                }
                Ok(None) | Err(_) => self.world.count("clients: no answer"),
            }
            if request.key.is_none() {
                let table = request.table;
                request.ids =
                    self.world.ledger(|l| request.services.iter().map(|_| l.send(table)).collect());
            }
            if self.world.now_ms() >= self.until_ms {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}
