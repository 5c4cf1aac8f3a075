//! A TCP proxy before etcd that can be cut and pointed elsewhere.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Proxy {
    pub(crate) url: String,
    /// Where connections go; `None`: nowhere.
    target: watch::Sender<Option<String>>,
}

impl Proxy {
    pub(crate) async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (target, targets) = watch::channel(Some(authority(url)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, targets.clone()));
            }
        });
        Self { url: format!("http://{address}"), target }
    }

    /// Ends all connections, and takes no new ones.
    pub(crate) fn cut(&self) {
        self.target.send_replace(None);
    }

    /// Ends all connections; new ones go there.
    pub(crate) fn point_to(&self, url: &str) {
        self.target.send_replace(Some(authority(url)));
    }
}

fn authority(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

/// Until either side ends or the target changes.
async fn carry(mut inside: TcpStream, mut target: watch::Receiver<Option<String>>) {
    let Some(address) = target.borrow_and_update().clone() else {
        return;
    };
    let Ok(mut outside) = TcpStream::connect(address).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut inside, &mut outside) => {}
        _ = target.changed() => {}
    }
}
