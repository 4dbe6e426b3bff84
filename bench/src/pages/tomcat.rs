//! Tomcat 10 as Debian has it, with the application as a servlet: one node, or two of them on loopback addresses that know each other, the members being
//! fixed.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use holdfast_support::command::Run;
use holdfast_support::free_port;
use holdfast_support::install::Recipe;
use tempfile::TempDir;

use super::contest::Contender;
use super::process::Process;

const HOME: &str = "/usr/share/tomcat10";

/// Where the application is built.
pub(super) const RECIPE: Recipe = Recipe {
    shelf: "bench",
    name: "tomcat",
    what: "the application for Tomcat",
    programs: &[
        ("/usr/share/tomcat10/bin/catalina.sh", "tomcat10-common"),
        ("java", "openjdk-17-jdk-headless"),
        ("javac", "openjdk-17-jdk-headless"),
    ],
    sources: &[(SOURCE, include_str!("../../applications/tomcat/Page.java"))],
    commands: |_| vec![Run::new("javac", ["-classpath", "/usr/share/tomcat10/lib/servlet-api.jar", "-d", "classes", SOURCE])],
};

const SOURCE: &str = "Page.java";

const APPLICATION: &str = include_str!("../../applications/tomcat/web.xml");
const SERVER: &str = include_str!("../../applications/tomcat/server.xml");
const CLUSTER: &str = include_str!("../../applications/tomcat/cluster.xml");

/// How sessions are replicated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replication {
    pub(super) manager: &'static str,
    /// `channelSendOptions`: 6 waits until the other node has processed a change, 8 does not wait.
    pub(super) options: u8,
}

/// The nodes; their processes end when this is dropped.
#[derive(Debug)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    process: Process,
    _base: TempDir,
}

/// Where the nodes are.
struct Site {
    net: u8,
    http: u16,
    replication: u16,
}

impl Site {
    fn find() -> anyhow::Result<Self> {
        // Several of these may run on one machine, beside members in networks below.
        let net = 186 + (std::process::id() % 60) as u8;
        let http = free_port(&[http(net, 1), http(net, 2)])?;
        Ok(Self { net, http, replication: free_port(&[replication(net, 1), replication(net, 2)])? })
    }
}

fn http(net: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, net, 1, number)
}

fn replication(net: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, net, 2, number)
}

impl Nodes {
    /// Two nodes, or one by itself. `application` is the folder of [`RECIPE`].
    pub(super) async fn start(application: &Path, how: Option<Replication>) -> anyhow::Result<Self> {
        let site = Site::find()?;
        let mut nodes = vec![Node::start(application, &site, 1, how).await?];
        if how.is_some() {
            // Afterwards: two that start at once wait for each other's sessions for a minute.
            nodes.push(Node::start(application, &site, 2, how).await?);
        }
        Ok(Self { nodes })
    }

    /// The first node takes the requests.
    pub(super) fn contender(&self, name: &str) -> Contender {
        let first = &self.nodes[0].process;
        let store = self.nodes[1..].iter().map(|node| node.process.pid).collect();
        Contender { name: name.to_owned(), address: first.address, application: vec![first.pid], store }
    }

    /// SIGKILL to the first node.
    pub(super) async fn kill_first(&mut self) -> anyhow::Result<()> {
        self.nodes[0].process.kill().await
    }

    /// Where the second node takes requests.
    pub(super) fn second(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.nodes.get(1).context("there is one node only")?.process.address)
    }
}

impl Node {
    async fn start(application: &Path, site: &Site, number: u8, how: Option<Replication>) -> anyhow::Result<Self> {
        let base = tempfile::tempdir().context("cannot make a folder")?;
        let address = SocketAddr::from((http(site.net, number), site.http));
        let server = SERVER
            .replace("{cluster}", &how.map(|how| cluster(site, number, how)).unwrap_or_default())
            .replace("{address}", &address.ip().to_string())
            .replace("{http}", &site.http.to_string());
        let inside = base.path().join("webapps/ROOT/WEB-INF");
        for folder in [&base.path().join("conf"), &base.path().join("temp"), &base.path().join("logs"), &inside.join("classes")] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        }
        fs::write(base.path().join("conf/server.xml"), server).context("cannot write server.xml")?;
        fs::write(inside.join("web.xml"), APPLICATION).context("cannot write web.xml")?;
        fs::copy(application.join("classes/Page.class"), inside.join("classes/Page.class")).context("cannot copy the application")?;
        let run = Run::new(format!("{HOME}/bin/catalina.sh"), ["run"])
            .env("CATALINA_HOME", HOME)
            .env("CATALINA_BASE", base.path())
            .env("CATALINA_OPTS", "-Xms512m -Xmx512m");
        Ok(Self { process: Process::start(&run, address).await?, _base: base })
    }
}

fn cluster(site: &Site, number: u8, how: Replication) -> String {
    let other = 3 - number;
    CLUSTER
        .replace("{manager}", how.manager)
        .replace("{options}", &how.options.to_string())
        .replace("{address}", &replication(site.net, number).to_string())
        .replace("{other address}", &replication(site.net, other).to_string())
        .replace("{port}", &site.replication.to_string())
        .replace("{number}", &number.to_string())
        .replace("{other number}", &other.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_be_filled_in_in_what_a_node_is_told() {
        let how = Replication { manager: "DeltaManager", options: 6 };
        let text = cluster(&Site { net: 190, http: 8080, replication: 4000 }, 2, how);
        assert!(text.contains(r#"host="127.190.2.1" port="4000" uniqueId="{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1}""#), "{text}");
        assert!(!text.contains("{other") && !text.contains("{a") && !text.contains("{p"), "{text}");
    }
}
