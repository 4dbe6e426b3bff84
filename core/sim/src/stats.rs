//! What happened in runs.

/// What happened in a run, for judging whether it tested anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Operations asked for.
    pub operations: u64,
    /// Operations answered.
    pub answered: u64,
    /// Writes whose outcome is unknown.
    pub unknown: u64,
    /// Writes refused because too much waited for a member.
    pub refused: u64,
    /// Sessions whose life was over, as members said.
    pub expired: u64,
    /// Several sessions that were changed as one step.
    pub together: u64,
    /// Scans that were completed.
    pub scans: u64,
    /// Processes and nodes that crashed.
    pub crashes: u64,
    /// Members that fell out of the view alive.
    pub false_evictions: u64,
    /// Views that the arbiter has shown.
    pub views: u64,
    /// Sessions taken over or appointed after a barrier.
    pub takeovers: u64,
    /// Members that left.
    pub leaves: u64,
    /// Connections that broke.
    pub resets: u64,
    /// Runs in which more failed at once than the copies can bear.
    pub excused: u64,
    /// Runs in which a member was evicted without a budget, because that was accepted.
    pub lossy: u64,
    /// Histories of one session that took too long to judge.
    pub undecided: u64,
    /// The longest history of one session.
    pub longest_history: u64,
    /// The most that waited for one member beyond the limit for writes, in bytes.
    pub most_over_limit: u64,
    /// How long it took at the most until all was protected after the last fault, in milliseconds.
    pub slowest_rest: u64,
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Stats) {
        self.operations += other.operations;
        self.answered += other.answered;
        self.unknown += other.unknown;
        self.refused += other.refused;
        self.expired += other.expired;
        self.together += other.together;
        self.scans += other.scans;
        self.crashes += other.crashes;
        self.false_evictions += other.false_evictions;
        self.views += other.views;
        self.takeovers += other.takeovers;
        self.leaves += other.leaves;
        self.resets += other.resets;
        self.excused += other.excused;
        self.lossy += other.lossy;
        self.undecided += other.undecided;
        self.longest_history = self.longest_history.max(other.longest_history);
        self.most_over_limit = self.most_over_limit.max(other.most_over_limit);
        self.slowest_rest = self.slowest_rest.max(other.slowest_rest);
    }
}
