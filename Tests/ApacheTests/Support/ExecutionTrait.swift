import Testing

extension Trait where Self == ConditionTrait {
    /// For what holds of httpd's own children alone; `reason` says what that is.
    static func embedded(_ reason: Comment) -> Self {
        .enabled(if: Configuration.Execution.standard == .embedded, reason)
    }
}

extension Trait where Self == ConditionTrait {
    /// For what does not hold every time yet: it runs if SWIFTGI_UNFINISHED is set.
    static var unfinished: Self {
        .enabled(if: Paths.environment("SWIFTGI_UNFINISHED") != nil, "daemon mode is not finished")
    }
}
