import Testing

extension Trait where Self == ConditionTrait {
    /// For what holds of httpd's own children alone; `reason` says what that is.
    static func embedded(_ reason: Comment) -> Self {
        .enabled(if: Configuration.Execution.standard == .embedded, reason)
    }
}
