//! Mechanisms switched off on purpose, to see that the promises notice. All at the edges of the
//! product: none of its code knows of it.

/// What is switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    #[default]
    Nothing,
    /// The store takes every conditional create, whatever is there.
    ConditionalCreate,
    /// Who loses a number of the Delta log takes the next one without a look at what was committed.
    ConflictCheck,
    /// The store says that a segment is there before it is.
    AckOrder,
    /// The directory says that it has synced and has not.
    Fsync,
    /// Queries do not see the watermarks of a table.
    Watermark,
    /// The floor is not written before segments are trimmed.
    Floor,
    /// Who commits files does not see that a table was vacuumed.
    VacuumMark,
    /// It is not said that a log is about to be sealed by somebody else. So rare a case that no bounded
    /// number of seeds is known to show it.
    SealingMark,
}

impl Sabotage {
    pub const ALL: [Self; 8] = [
        Self::ConditionalCreate,
        Self::ConflictCheck,
        Self::AckOrder,
        Self::Fsync,
        Self::Watermark,
        Self::Floor,
        Self::VacuumMark,
        Self::SealingMark,
    ];
}
