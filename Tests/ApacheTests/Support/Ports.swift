import Glibc
import Synchronization

/// Free ports of the loopback interface.
enum Ports {
    private static let given = Mutex<Set<Int>>([])

    /// A port that nobody listens on, given to nobody else in this process.
    ///
    /// Below the range from which the system picks ports for outgoing connections, so that none of
    /// those takes it before httpd does.
    static func next() -> Int {
        given.withLock { given in
            while true {
                let port = Int.random(in: 20000..<32000)
                if !given.contains(port), isFree(port) {
                    given.insert(port)
                    return port
                }
            }
        }
    }

    static func release(_ port: Int) {
        _ = given.withLock { $0.remove(port) }
    }

    static func isFree(_ port: Int) -> Bool {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(socket) }
        var yes: Int32 = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = loopback(port)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}

func loopback(_ port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    return address
}
