//! TCP connections over loopback, both ends.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

use super::{super::failure, Failure, Stage, Take};

pub(super) struct Sockets {
    listener: TcpListener,
    address: SocketAddr,
    open: Vec<(TcpStream, TcpStream)>,
}

impl Sockets {
    pub(super) fn new() -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let with_address = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = with_address.map_err(|error| failure(Stage::Connect, &error))?;
        Ok(Self { listener, address, open: Vec::new() })
    }

    fn connect(&mut self) -> io::Result<()> {
        let near = TcpStream::connect(self.address)?;
        // Its own connection: nobody else knows the port, and a stranger's
        // would only be one more.
        let (far, _) = self.listener.accept()?;
        self.open.push((near, far));
        Ok(())
    }
}

impl Take for Sockets {
    fn one(&mut self) -> Result<(), Failure> {
        self.connect().map_err(|error| failure(Stage::Connect, &error))
    }
}
