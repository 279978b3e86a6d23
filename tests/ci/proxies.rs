//! Real proxies in front of a service, as they are when nobody has told them anything about streams.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A way to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// No proxy.
    Direct,
    /// HTTP/1.0 towards the service and a connection for each request, as nginx had it before 1.29.7.
    NginxOld,
    /// HTTP/1.1 and connections that are used again, as nginx has it since then.
    NginxNew,
    /// The older one with TLS, and HTTP/2 for who wants it.
    NginxTls,
    /// The newer one with the same.
    NginxNewTls,
    /// With the time-outs of Debian's configuration.
    Haproxy,
    /// With TLS, and HTTP/2 for who wants it.
    HaproxyTls,
    /// Its route cuts every answer after 15 s.
    Envoy,
    Caddy,
}

/// How HTTP/2 is had on a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2 {
    Never,
    /// Without asking.
    Prior,
    /// By TLS.
    Negotiated,
}

/// A proxy that runs. Dropping it ends it.
pub struct Proxy {
    pub way: Way,
    pub url: String,
    /// The certificate that it shows, if it has one.
    pub certificate: Option<PathBuf>,
    child: Option<Child>,
    folder: TempDir,
}

// === impl Way ===

impl Way {
    pub const ALL: [Way; 9] = [
        Way::Direct,
        Way::NginxOld,
        Way::NginxNew,
        Way::NginxTls,
        Way::NginxNewTls,
        Way::Haproxy,
        Way::HaproxyTls,
        Way::Envoy,
        Way::Caddy,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Way::Direct => "direct",
            Way::NginxOld => "nginx, HTTP/1.0 behind it",
            Way::NginxNew => "nginx, HTTP/1.1 behind it",
            Way::NginxTls => "nginx with TLS, HTTP/1.0 behind it",
            Way::NginxNewTls => "nginx with TLS, HTTP/1.1 behind it",
            Way::Haproxy => "HAProxy",
            Way::HaproxyTls => "HAProxy with TLS",
            Way::Envoy => "Envoy",
            Way::Caddy => "Caddy",
        }
    }

    pub fn http2(self) -> Http2 {
        match self {
            Way::Direct | Way::Envoy | Way::Caddy => Http2::Prior,
            Way::NginxTls | Way::NginxNewTls | Way::HaproxyTls => Http2::Negotiated,
            // Without TLS nginx 1.22 has none, and HAProxy one or the other on a port.
            Way::NginxOld | Way::NginxNew | Way::Haproxy => Http2::Never,
        }
    }

    /// The text of its configuration.
    fn configuration(self, own: SocketAddr, service: SocketAddr, folder: &Path) -> String {
        let folder = folder.display();
        let nginx = |listen: &str, location: &str| {
            format!(
                "daemon off; master_process off; pid {folder}/pid;\n\
                 error_log stderr warn;\n\
                 events {{}}\n\
                 http {{\n\
                   access_log off;\n\
                   client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
                   fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
                   upstream rollcast {{ server {service}; keepalive 16; }}\n\
                   server {{ listen {own}{listen}; location / {{ {location} }} }}\n\
                 }}\n"
            )
        };
        let tls = format!(
            " ssl http2; ssl_certificate {folder}/certificate; ssl_certificate_key {folder}/key"
        );
        let old = format!("proxy_pass http://{service};");
        let new = "proxy_pass http://rollcast; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
                   proxy_set_header Host $http_host;";
        let haproxy = |bind: &str| {
            format!(
                "defaults\n mode http\n timeout connect 5000\n timeout client 50000\n timeout server 50000\n\
                 frontend all\n bind {own}{bind}\n default_backend rollcast\n\
                 backend rollcast\n server one {service}\n"
            )
        };
        match self {
            Way::Direct => String::new(),
            Way::NginxOld => nginx("", &old),
            Way::NginxNew => nginx("", new),
            Way::NginxTls => nginx(&tls, &old),
            Way::NginxNewTls => nginx(&tls, new),
            Way::Haproxy => haproxy(""),
            Way::HaproxyTls => haproxy(&format!(" ssl crt {folder}/both alpn h2,http/1.1")),
            Way::Envoy => envoy(own, service),
            Way::Caddy => format!(
                "{{\n admin off\n auto_https off\n servers {{\n  protocols h1 h2c\n }}\n}}\n\
                 http://{own} {{\n bind 127.0.0.1\n reverse_proxy {service}\n}}\n"
            ),
        }
    }

    fn command(self, file: &Path) -> Command {
        let cache = std::env::var_os("HOME").map(PathBuf::from).expect("HOME is set");
        let (program, arguments): (PathBuf, &[&str]) = match self {
            Way::Direct => unreachable!("there is no proxy"),
            Way::NginxOld | Way::NginxNew | Way::NginxTls | Way::NginxNewTls => {
                ("/usr/sbin/nginx".into(), &["-c"])
            }
            Way::Haproxy | Way::HaproxyTls => ("/usr/sbin/haproxy".into(), &["-db", "-f"]),
            Way::Envoy => (
                cache.join(".cache/rollcast/envoy/envoy/_bin/envoy"),
                &["--disable-hot-restart", "--concurrency", "1", "-l", "warn", "-c"],
            ),
            Way::Caddy => ("/usr/bin/caddy".into(), &["run", "--adapter", "caddyfile", "--config"]),
        };
        let mut command = Command::new(program);
        command.args(arguments).arg(file);
        command
    }
}

fn envoy(own: SocketAddr, service: SocketAddr) -> String {
    let at = |address: SocketAddr| {
        let (ip, port) = (address.ip(), address.port());
        format!("{{socket_address: {{address: {ip}, port_value: {port}}}}}")
    };
    let (own, service) = (at(own), at(service));
    let types = "type.googleapis.com/envoy.extensions.filters";
    format!(
        "static_resources:\n  \
           listeners:\n  \
           - address: {own}\n    \
             filter_chains:\n    \
             - filters:\n      \
               - name: envoy.filters.network.http_connection_manager\n        \
                 typed_config:\n          \
                   \"@type\": {types}.network.http_connection_manager.v3.HttpConnectionManager\n          \
                   stat_prefix: all\n          \
                   http_filters:\n          \
                   - name: envoy.filters.http.router\n            \
                     typed_config: {{\"@type\": {types}.http.router.v3.Router}}\n          \
                   route_config:\n            \
                     virtual_hosts:\n            \
                     - {{name: all, domains: [\"*\"], routes: [{{match: {{prefix: /}}, route: {{cluster: rollcast}}}}]}}\n  \
           clusters:\n  \
           - name: rollcast\n    \
             load_assignment:\n      \
               cluster_name: rollcast\n      \
               endpoints: [{{lb_endpoints: [{{endpoint: {{address: {service}}}}}]}}]\n"
    )
}

// === impl Proxy ===

impl Proxy {
    /// Starts it and waits until it takes connections.
    pub async fn start(way: Way, service: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if way == Way::Direct {
            let (url, certificate) = (format!("http://{service}"), None);
            return Proxy { way, url, certificate, child: None, folder };
        }
        let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let certificate = (way.http2() == Http2::Negotiated).then(|| certify(folder.path()));
        let file = folder.path().join("configuration.yaml");
        std::fs::write(&file, way.configuration(own, service, folder.path())).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = way.command(&file);
        // Caddy keeps things in it.
        command
            .env("HOME", folder.path())
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let program = command.get_program().to_owned();
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}: tests/setup proxies", program.display());
        });
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{own}");
        let mut proxy = Proxy { way, url, certificate, child: Some(child), folder };
        for _ in 0..400 {
            if tokio::net::TcpStream::connect(own).await.is_ok() {
                return proxy;
            }
            let ended = proxy.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{} ended:\n{}", way.name(), proxy.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} takes no connection:\n{}", way.name(), proxy.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.way.name(), self.log());
        }
    }
}

/// Makes a key and a certificate for 127.0.0.1; the file of the certificate.
fn certify(folder: &Path) -> PathBuf {
    let (key, certificate) = (folder.join("key"), folder.join("certificate"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=rollcast", "-addext", "subjectAltName=IP:127.0.0.1"])
        // A server's own, and no authority: what it is for is not every client's to guess.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    // HAProxy wants both in one file.
    let both = [&certificate, &key].map(|file| std::fs::read(file).unwrap()).concat();
    std::fs::write(folder.join("both"), both).unwrap();
    certificate
}
