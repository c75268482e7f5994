// The first byte says where the rest is cut in two: what a request means does not depend on it.
@c public func LLVMFuzzerTestOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    guard let start, count > 0 else { return 0 }
    let input = Array(UnsafeBufferPointer(start: start + 1, count: count - 1))
    let cut = input.isEmpty ? 0 : Int(start[0]) % (input.count + 1)
    precondition(
        describe([input]) == describe([Array(input[..<cut]), Array(input[cut...])]), "a cut changes the meaning")
    return 0
}

private func describe(_ pieces: [[UInt8]]) -> String {
    var decoder = SCGIDecoder(limit: 4096)
    var variables = RequestVariables()
    var body: [UInt8] = []
    do {
        for piece in pieces {
            var position = 0
            while let event = try decoder.next(piece.span, &position) {
                switch event {
                case .header(let range): variables.append(piece.span.extracting(range))
                case .headerEnd:
                    try variables.locateHeader()
                    variables.normalize(VariableRules())
                case .body(let range): body += piece[range]
                }
            }
            precondition(position == piece.count)
        }
    } catch {
        return "\(error)"
    }
    var all = "\(body)"
    variables.forEach { name, value in all += " \(name.count) \(value.count)" }
    return all
}
