//! A server behind a proxy with TLS, as operators reach one from elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::child::{Said, Server, mistap, said, serve};

const NAME: &str = "localhost";

/// A proxy with a certificate of its own, as text for who trusts it.
struct Proxy {
    port: u16,
    certificate: String,
}

impl Proxy {
    /// Passes on to a server whatever comes, for as long as the test runs.
    async fn before(server: SocketAddr) -> Self {
        let names = vec![NAME.to_owned()];
        let own = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .expect("a valid key");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Who trusts nobody hangs up.
                    let Ok(mut caller) = acceptor.accept(caller).await else {
                        return;
                    };
                    let mut server = TcpStream::connect(server).await.expect("it listens");
                    let _ = tokio::io::copy_bidirectional(&mut caller, &mut server).await;
                });
            }
        });
        Self {
            port,
            certificate: own.cert.pem(),
        }
    }
}

/// What a command says through a proxy, trusting whom a file names.
async fn ask(arguments: &[&str], proxy: &Proxy, trusted: &str) -> Said {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("trusted.pem");
    std::fs::write(&file, trusted).expect("room");
    let mut command = mistap();
    command
        .args(arguments)
        .args(["--server", &format!("https://{NAME}:{}", proxy.port)])
        .env("SSL_CERT_FILE", file)
        .env_remove("SSL_CERT_DIR");
    said(&mut command).await
}

#[tokio::test]
async fn server_behind_tls_is_reached_by_who_trusts_it_and_others_are_told_why_not() {
    let folder = TempDir::new().expect("a folder");
    let server = Server::start(serve(folder.path())).await;
    let server = server.unwrap_or_else(|end| panic!("the server did not start: {end:?}"));
    let proxy = Proxy::before(server.address).await;
    let answered = ask(&["choices"], &proxy, &proxy.certificate).await;
    assert_eq!(answered.code, 0, "{}", answered.errors);
    assert!(!answered.out.is_empty());
    let another = Proxy::before(server.address).await;
    for command in [&["choices"][..], &["tail"], &["watch", "--by", "line"]] {
        let refused = ask(command, &proxy, &another.certificate).await;
        let errors = refused.errors;
        assert_eq!(refused.code, 6, "{errors}");
        assert!(errors.contains("invalid peer certificate"), "{errors}");
        assert!(errors.contains("SSL_CERT_FILE"), "{errors}");
    }
    server.kill().await;
}
