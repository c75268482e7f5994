/// A rule of the specification was broken.
///
/// ``Validator`` throws it where the rule can be enforced, so that the client gets status 500 and the
/// server's log says what is wrong; where it is too late for that, it is only logged.
public struct ValidationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The rule: `A1` to `A10` are what applications owe, `W1` to `W47` what servers and middleware do.
    public let rule: String

    /// What is wrong, with the value that is.
    public let message: String

    init(_ rule: String, _ message: String) {
        self.rule = rule
        self.message = message
    }

    /// Rule and message.
    public var description: String { "breaks rule \(rule): \(message)" }
}
