//! A server that stops serving for a moment, as a supervisor that ends or hands over does.

use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;

use ward_serve::http::{Server, Settings};
use ward_serve::listen::Listener;
use ward_serve::xmlrpc::Value;

use crate::world::{Client, LIMIT, Memory, Shared, call};

#[test]
fn who_waits_for_an_answer_gets_it_when_serving_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let shared = Arc::new(Shared::new(directory.path()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let settings = Settings::usual(Rc::new(|_, _: &str| {}));
        let control = Rc::new(Memory(Arc::clone(&shared)));
        let mut server = Server::new(control, settings).unwrap();
        let listener = Listener::tcp("127.0.0.1", 0).unwrap();
        let port = listener.port().unwrap();
        server.listen(listener, None);
        let client = std::thread::spawn(move || {
            let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let mut client = Client::new(stream);
            client
                .ask(call("supervisor.stopProcess", vec![Value::text("slow")]))
                .status
        });
        let called = async {
            while shared.calls().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            never = server.run() => match never {},
            () = called => {}
        }
        shared.release.notify_waiters();
        let answered = tokio::task::spawn_blocking(move || client.join().unwrap());
        tokio::select! {
            never = server.run() => match never {},
            status = answered => assert_eq!(status.unwrap(), 200),
        }
    });
}
