// What is found lies within the bytes, and written again it is found again.
@c public func LLVMFuzzerTestOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    guard let start else { return 0 }
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    var places: [VariablePlace] = []
    do { try NameValuePairs.locate(input.span, limit: 1000, into: &places) } catch { return 0 }
    var again: [UInt8] = []
    for place in places {
        let (name, value) = (Array(input[place.name]), Array(input[place.value]))
        again.appendPair(name.span, value.span)
    }
    var found: [VariablePlace] = []
    try! NameValuePairs.locate(again.span, limit: 1000, into: &found)
    precondition(found.count == places.count)
    for (place, other) in zip(places, found) {
        precondition(input[place.name].elementsEqual(again[other.name]))
        precondition(input[place.value].elementsEqual(again[other.value]))
    }
    return 0
}
