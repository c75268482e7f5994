// The first byte says where the rest is cut in two: what a stream means does not depend on it.
@c public func LLVMFuzzerTestOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    guard let start, count > 0 else { return 0 }
    let input = Array(UnsafeBufferPointer(start: start + 1, count: count - 1))
    let cut = input.isEmpty ? 0 : Int(start[0]) % (input.count + 1)
    let whole = describe([input])
    let parts = describe([Array(input[..<cut]), Array(input[cut...])])
    precondition(whole == parts, "a cut changes the meaning")
    return 0
}

private func describe(_ pieces: [[UInt8]]) -> [String] {
    var decoder = FastCGIDecoder()
    var all: [String] = []
    var stream = ""
    var bytes: [UInt8] = []
    func flush() {
        if !stream.isEmpty { all.append("\(stream) \(bytes)") }
        stream = ""
        bytes = []
    }
    func add(_ name: String, _ more: ArraySlice<UInt8>) {
        if stream != name { flush() }
        stream = name
        bytes += more
    }
    do {
        for piece in pieces {
            var position = 0
            while let event = try decoder.next(piece.span, &position) {
                switch event {
                case .params(let id, let range): add("params \(id)", piece[range])
                case .stdin(let id, let range): add("stdin \(id)", piece[range])
                case .data(let id, let range): add("data \(id)", piece[range])
                case .getValues(let pairs):
                    flush()
                    var places: [VariablePlace] = []
                    try? NameValuePairs.locate(pairs.span, limit: 64, into: &places)
                    all.append("\(event) \(places.count)")
                default:
                    flush()
                    all.append("\(event)")
                }
            }
            precondition(position == piece.count)
        }
    } catch {
        flush()
        all.append("\(error)")
    }
    flush()
    return all
}
