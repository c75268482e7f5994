package Bench;
# The same answers by mod_perl.
use strict;
use warnings;

use Apache2::Const -compile => qw(OK NOT_FOUND);
use Apache2::Connection ();
use Apache2::RequestIO ();
use Apache2::RequestRec ();
use Apache2::RequestUtil ();
use Apache2::Response ();
use APR::Table ();
use Compress::Raw::Zlib ();
use Time::HiRes ();

my $data = $ENV{BENCH_DATA};
my @names = qw(
    REQUEST_METHOD REQUEST_URI QUERY_STRING SERVER_NAME SERVER_PROTOCOL
    REMOTE_ADDR HTTP_HOST HTTP_USER_AGENT HTTP_ACCEPT HTTP_COOKIE
);

sub load_file {
    open my $file, '<:raw', "$data/$_[0]" or die "$data/$_[0]: $!\n";
    local $/;
    return scalar <$file>;
}

my $hello = "Hello, world!\n";
my $chunk = "0123456789abcde\n";
my $json = load_file('app/json');
my $megabyte = load_file('app/down');

sub answer {
    my ($r, $type) = @_;
    $r->content_type($type);
    $r->set_content_length(length $_[2]);
    $r->print($_[2]);
    return Apache2::Const::OK;
}

my %routes = (
    '/hello' => sub { answer($_[0], 'text/plain', $hello) },
    '/app/environ' => sub {
        my $r = shift;
        $r->subprocess_env;
        my $variables = $r->subprocess_env;
        answer($r, 'text/plain', join('', map { "$_=" . ($variables->get($_) // '') . "\n" } @names));
    },
    '/app/json' => sub { answer($_[0], 'application/json', $json) },
    '/app/down' => sub { answer($_[0], 'application/octet-stream', $megabyte) },
    '/app/up' => sub {
        my $r = shift;
        my $sum = Compress::Raw::Zlib::adler32('');
        while ($r->read(my $piece, 65536)) { $sum = Compress::Raw::Zlib::adler32($piece, $sum) }
        answer($r, 'text/plain', sprintf("%08x\n", $sum));
    },
    '/app/file' => sub {
        my $r = shift;
        my $path = "$data/app/file";
        $r->content_type('application/octet-stream');
        $r->set_content_length(-s $path);
        $r->sendfile($path);
        return Apache2::Const::OK;
    },
    '/app/stream' => sub {
        my $r = shift;
        $r->content_type('text/plain');
        for (1 .. 1000) {
            $r->print($chunk);
            $r->rflush;
        }
        return Apache2::Const::OK;
    },
    '/app/wait' => sub {
        Time::HiRes::sleep(0.05);
        answer($_[0], 'text/plain', $hello);
    },
);

sub handler {
    my $r = shift;
    my $route = $routes{$r->uri} or return Apache2::Const::NOT_FOUND;
    return $route->($r);
}

1;
