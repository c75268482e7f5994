# Sends requests to a FastCGI server as mod_swiftgi does, one after the other on one connection, and
# waits for the end of each.
#
#     requests.pl SOCKET COUNT
use strict;
use warnings;
use IO::Socket::UNIX;

my ($path, $count) = @ARGV;
my $socket;
# valgrind takes its time.
for (1 .. 300) {
    $socket = IO::Socket::UNIX->new(Peer => $path) and last;
    select(undef, undef, undef, 0.1);
}
die "requests.pl: nobody listens at $path\n" unless $socket;

my @variables = (
    CONTEXT_DOCUMENT_ROOT => '/srv/www', CONTEXT_PREFIX => '', DOCUMENT_ROOT => '/srv/www',
    GATEWAY_INTERFACE => 'CGI/1.1', PATH_INFO => '', QUERY_STRING => '', REMOTE_ADDR => '127.0.0.1',
    REMOTE_PORT => '49152', REQUEST_METHOD => 'GET', REQUEST_SCHEME => 'http', REQUEST_URI => '/hello',
    SCRIPT_FILENAME => '/srv/apps/libHello.so', SCRIPT_NAME => '/hello', SERVER_ADDR => '127.0.0.1',
    SERVER_ADMIN => '[no address given]', SERVER_NAME => 'localhost', SERVER_PORT => '80',
    SERVER_PROTOCOL => 'HTTP/1.1', SERVER_SOFTWARE => 'Apache/2.4.71 (Debian)',
    SWIFTGI_REQUEST_ID => 'aS1d8x0AAQEAAGx3dJwAAAAA', HTTP_HOST => 'localhost',
    HTTP_USER_AGENT => 'ApacheBench/2.3', HTTP_ACCEPT => '*/*', SWIFTGI_EXTENSIONS => '1');
my $pairs = '';
while (my ($name, $value) = splice(@variables, 0, 2)) {
    $pairs .= pack('CC', length $name, length $value) . $name . $value;
}

sub record {
    my ($type, $id, $content) = @_;
    return pack('CCnnCC', 1, $type, $id, length $content, 0, 0) . $content;
}

sub receive {
    my ($wanted) = @_;
    my $bytes = '';
    while (length $bytes < $wanted) {
        sysread($socket, $bytes, $wanted - length $bytes, length $bytes)
            or die "requests.pl: the connection has ended\n";
    }
    return $bytes;
}

for my $number (1 .. $count) {
    # The module counts them.
    my $id = ($number - 1) % 65535 + 1;
    my $request = record(1, $id, pack('nCx5', 1, 1)) . record(4, $id, $pairs) . record(4, $id, '')
        . record(5, $id, '');
    syswrite($socket, $request) == length $request or die "requests.pl: sending: $!\n";
    my $type = 0;
    while ($type != 3) {
        (undef, $type, undef, my $size, my $padding) = unpack('CCnnC', receive(8));
        my $content = receive($size + $padding);
        die "requests.pl: the request was not answered\n" if $type == 3 && $content !~ /^\0{5}/;
    }
}
