import HTTPTypes

extension HTTPField.Name {
    static let serverTiming = named("Server-Timing")
    static let requestID = named("X-Request-ID")
    static let traceparent = named("traceparent")
    static let tracestate = named("tracestate")

    /// A name that is a token, as the above are.
    private static func named(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("\(name) is no field name") }
        return name
    }
}
