import Glibc
import SwiftGI

/// Sends a file: the library of this application itself.
///
/// The validators let the server answer conditional requests with 304 and `Range` with 206; the
/// bytes go from the file to the connection without passing through Swift.
let download: Application = { environ, startResponse in
    let descriptor = environ["SCRIPT_FILENAME"].map { open($0, O_RDONLY | O_CLOEXEC) } ?? -1
    guard descriptor >= 0 else {
        try startResponse(.notFound, [.contentType: "text/plain; charset=utf-8"], nil)
        return .string("The server does not say where the library is.\n")
    }
    // From here on the body closes the file, also if something throws.
    let body = Body.file(descriptor: descriptor)

    // The file that is open, not whatever has its name by now.
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw FileError(number: errno) }
    let seconds = status.st_mtim.tv_sec
    let tag = [Int(status.st_size), seconds, status.st_mtim.tv_nsec].map { String($0, radix: 16) }
    let headers: HTTPFields = [
        .contentType: "application/octet-stream",
        .contentDisposition: "attachment; filename=\"libDownload.so\"",
        .eTag: "\"\(tag.joined(separator: "-"))\"",
        .lastModified: httpDate(seconds),
    ]
    try startResponse(.ok, headers, nil)
    return body
}

@c public func swiftgi_application() -> ApplicationTable { export(download) }

private struct FileError: Error {
    let number: Int32
}

/// A date as RFC 9110, section 5.6.7, wants it: `Sun, 06 Nov 1994 08:49:37 GMT`.
private func httpDate(_ seconds: Int) -> String {
    let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    var seconds = seconds
    var date = tm()
    gmtime_r(&seconds, &date)
    func digits(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let day = "\(days[Int(date.tm_wday)]), \(digits(date.tm_mday)) \(months[Int(date.tm_mon)]) \(date.tm_year + 1900)"
    return "\(day) \(digits(date.tm_hour)):\(digits(date.tm_min)):\(digits(date.tm_sec)) GMT"
}
