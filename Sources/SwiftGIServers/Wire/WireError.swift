/// What came from the peer is not what its protocol permits.
///
/// The connection is of no use any more: where the next message begins is not known.
package struct WireError: Error, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
