//! Servers that take what is sent to them, or behave badly; on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use ward_testkit::etcd::Identity;

/// What a sink heard, line by line, without line ends.
pub(crate) type Heard = Vec<String>;

/// A server for one connection.
pub(crate) struct Sink {
    pub(crate) address: String,
    thread: JoinHandle<anyhow::Result<Heard>>,
}

impl Sink {
    pub(crate) fn start(
        serve: impl FnOnce(TcpStream) -> anyhow::Result<Heard> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept()?;
            serve(stream)
        });
        Ok(Self { address, thread })
    }

    /// What it heard, when it is done.
    pub(crate) fn heard(self) -> anyhow::Result<Heard> {
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the sink panicked"))?
    }
}

/// How a mail server behaves.
#[derive(Clone, Default)]
pub(crate) struct Manners {
    /// It offers STARTTLS, and signing in after that.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// What follows `250-`, before TLS and after.
    pub(crate) offers: Vec<String>,
    /// What it says to somebody's address.
    pub(crate) refuses: Vec<(String, String)>,
}

/// With this certificate.
pub(crate) fn server_config(identity: &Identity) -> anyhow::Result<Arc<ServerConfig>> {
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(&identity.certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&identity.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    Ok(Arc::new(config))
}

/// A mail server.
pub(crate) fn smtp(mut stream: TcpStream, manners: &Manners) -> anyhow::Result<Heard> {
    let mut heard = Heard::new();
    stream.write_all(b"220 sink ready\r\n")?;
    let wants_tls = converse(&mut stream, manners, &mut heard)?;
    if let (true, Some(config)) = (wants_tls, &manners.tls) {
        stream.write_all(b"220 go on\r\n")?;
        let connection = ServerConnection::new(Arc::clone(config))?;
        let mut secure = StreamOwned::new(connection, stream);
        heard.push("TLS".to_owned());
        let mut manners = manners.clone();
        manners.tls = None;
        converse(&mut secure, &manners, &mut heard)?;
    }
    Ok(heard)
}

/// Until the other side goes, or wants TLS.
fn converse<S: Read + Write>(
    stream: &mut S,
    manners: &Manners,
    heard: &mut Heard,
) -> anyhow::Result<bool> {
    let mut in_data = false;
    loop {
        let Some(line) = line(stream)? else {
            return Ok(false);
        };
        heard.push(line.clone());
        if in_data {
            if line == "." {
                in_data = false;
                stream.write_all(b"250 taken\r\n")?;
            }
            continue;
        }
        let answer = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => {
                let mut answer = String::from("250-sink\r\n");
                if manners.tls.is_some() {
                    answer.push_str("250-STARTTLS\r\n");
                } else {
                    for offer in &manners.offers {
                        answer.push_str(&format!("250-{offer}\r\n"));
                    }
                }
                answer + "250 8BITMIME\r\n"
            }
            "STARTTLS" => return Ok(true),
            "AUTH" if line == "AUTH LOGIN" => "334 VXNlcm5hbWU6\r\n".to_owned(),
            "AUTH" => "235 welcome\r\n".to_owned(),
            "RCPT" => {
                let refusal = manners.refuses.iter().find(|(whom, _)| line.contains(whom));
                refusal.map_or("250 ok\r\n".to_owned(), |(_, said)| format!("{said}\r\n"))
            }
            "DATA" => {
                in_data = true;
                "354 go on\r\n".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n")?;
                return Ok(false);
            }
            // The name and the password of AUTH LOGIN.
            "cm9ib3Q=" => "334 UGFzc3dvcmQ6\r\n".to_owned(),
            "b3BlbiBzZXNhbWU=" => "235 welcome\r\n".to_owned(),
            _ => "250 ok\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes())?;
        stream.flush()?;
    }
}

/// A line, byte by byte: what follows it may be TLS.
fn line(stream: &mut impl Read) -> anyhow::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) if byte == *b"\n" => {
                let text = String::from_utf8(line)?;
                return Ok(Some(text.trim_end_matches('\r').to_owned()));
            }
            Ok(_) => line.extend(byte),
            // Whoever is done with TLS may go without saying so.
            Err(_) => return Ok(None),
        }
    }
}

/// A server of HTTP that answers one request.
pub(crate) fn http(stream: impl Read + Write, answer: &str) -> anyhow::Result<Heard> {
    let mut reader = BufReader::new(stream);
    let mut heard = Heard::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_owned();
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.parse()?;
        }
        heard.push(line.clone());
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    heard.push(String::from_utf8(body)?);
    let stream = reader.get_mut();
    stream.write_all(answer.as_bytes())?;
    stream.flush()?;
    Ok(heard)
}
