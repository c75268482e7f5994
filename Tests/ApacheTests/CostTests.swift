import Foundation
import Testing

/// What a request costs in an application library, counted, not timed. `make cost` tells more.
@Suite struct CostTests {
    /// The shortest application against the least server there can be: `Tests/Cost/cost.c`.
    @Test func helloAllocatesLittle() throws {
        let program = "\(Paths.temporary)/cost"
        let compiled = try Command.run(
            "cc",
            [
                "-O2", "-fno-builtin-malloc", "-rdynamic", "-I\(Paths.repository)/Sources/CSwiftGI/include",
                "-o", program, "\(Paths.repository)/Tests/Cost/cost.c", "-ldl",
            ])
        #expect(compiled.status == 0, "\(compiled)")
        let counted = try Command.run(program, [Applications.path("Hello"), "10000"])
        #expect(counted.status == 0, "\(counted)")
        // "10000 requests: 2.00 allocations, …"
        let words = counted.output.split(separator: " ")
        let allocations = try #require(words.count > 2 ? Double(words[2]) : nil, "\(counted)")
        #expect(allocations > 0)
        #expect(allocations <= 3, "\(counted)")
    }
}
