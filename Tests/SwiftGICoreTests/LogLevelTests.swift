import Logging
import SwiftGICore
import Testing

struct LogLevelTests {
    @Test("Each of swift-log's levels has its own, and comes back", arguments: Logger.Level.allCases)
    func levels(_ level: Logger.Level) {
        #expect(LogLevel(level).loggerLevel == level)
    }

    @Test(
        "The numbers are those of the interface",
        arguments: [
            (Logger.Level.critical, 2), (.error, 3), (.warning, 4), (.notice, 5), (.info, 6), (.debug, 7), (.trace, 8),
        ] as [(Logger.Level, UInt32)])
    func numbers(_ level: Logger.Level, _ number: UInt32) {
        #expect(LogLevel(level).rawValue == number)
        #expect(LogLevel(rawValue: number)?.loggerLevel == level)
    }

    @Test("Other numbers are no levels", arguments: [0, 1, 9, .max] as [UInt32])
    func others(_ number: UInt32) {
        #expect(LogLevel(rawValue: number) == nil)
    }
}
