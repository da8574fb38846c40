//! Which ports are worth asking. The numbers are IANA's (and, where a product uses an unregistered
//! one, its documentation's); their order and choice are our own judgement.

/// The `count` commonest TCP ports, commonest first; after the list the others follow from 1 up.
pub(super) fn top(count: u16) -> Vec<u16> {
    let rest = (1..=u16::MAX).filter(|port| !COMMON.contains(port));
    COMMON.iter().copied().chain(rest).take(count.into()).collect()
}

/// What is asked of a target that names no ports: services that should face nobody, and the common
/// ones.
pub(super) fn default_ports() -> impl Iterator<Item = u16> {
    RISKY.iter().copied().chain(COMMON.iter().copied().take(60))
}

/// A number for an address, so that each has an order of its own.
pub(super) fn mark(address: std::net::IpAddr) -> u64 {
    let bits = match address {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        std::net::IpAddr::V6(v6) => v6.to_bits(),
    };
    let folded = (bits >> 64) as u64 ^ bits as u64;
    folded.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Ports of services that should face nobody.
pub(super) fn risky() -> &'static [u16] {
    RISKY
}

/// Whether a service without credentials is at home on this port, so that an open one without a
/// name leaves a question.
pub(super) fn is_risky(port: u16) -> bool {
    RISKY.contains(&port)
}

/// Commonest first.
const COMMON: &[u16] = &[
    443, 80, 22, 25, 53, 8080, 8443, 21, 587, 993, // web, shell, mail, names, files
    995, 143, 110, 465, 3389, 3306, 5432, 6379, 8000, 8888, // mail boxes, desktops, databases
    9090, 3000, 5000, 9000, 9100, 8081, 23, 445, 139, 135, // consoles, exporters, file shares
    2222, 389, 636, 5900, 1433, 27017, 9200, 1521, 111, 2049, // directories, databases, NFS
    5060, 5061, 1723, 1194, 500, 179, 161, 123, 873,
    548, // telephones, tunnels, routing, time
    8008, 8082, 8088, 8181, 9443, 4443, 10443, 8834, 8090, 81, // web elsewhere
    5601, 9092, 2181, 5672, 15672, 1883, 8883, 61616, 4222, 6443, // queues, clusters
    10250, 2379, 2375, 2376, 8500, 8200, 4646, 11211, 5984, 8086, // clusters, caches, stores
    9042, 7000, 7001, 9300, 50000, 3260, 5985, 5986, 88, 464, // stores, storage, Windows
    53413, 515, 631, 9101, 9102, 9115, 9093, 9091, 9187, 9121, // printers, exporters
    5222, 5269, 6667, 6697, 119, 563, 194, 1080, 3128, 8118, // chat, news, proxies
    8291, 8728, 4786, 7547, 2000, 49152, 5555, 554, 1935, 8554, // devices, cameras
    3690, 9418, 8140, 4505, 4506, 10000, 20000, 2082, 2083, 2087, // code, control panels
    37, 7, 9, 13, 19, 17, 79, 70, 113, 512, // the old small services
    513, 514, 102, 502, 1911, 44818, 47808, 4840, 1089, 2404, // the old shells, industry
    3388, 5901, 5902, 6000, 6001, 4000, 4040, 4200, 5173, 7070, // screens, development
];

/// Databases, control planes and consoles that are often left without credentials, and protocols
/// that carry them in the clear.
const RISKY: &[u16] = &[
    23, 512, 513, 514, // telnet and the r-commands
    111, 2049, 873, 445, 139, 135, 548, 3260, // file shares and block storage
    1433, 1521, 3306, 5432, 50000, 3050, 1527, 26257, 9042, 9160, // SQL and Cassandra
    6379, 6380, 11211, 27017, 27018, 27019, 28017, 5984, 6984, // key-value and documents
    9200, 9300, 5601, 8983, 7700, 19530, 6333, 8108, // search and vectors
    7474, 7687, 8529, 8086, 8428, 9000, 8123, 4242, 10101, // graphs, time series, columns
    2379, 2380, 4001, 2181, 2888, 3888, 8500, 8300, 8600, 8200, // consensus and secrets
    2375, 2376, 2377, 4243, 5000, 10250, 10255, 10256, 10248, 6443, // containers
    8001, 8472, 9099, 4646, 4647, 4194, 30000, 6666, 15010, 15000, // clusters and meshes
    9092, 9093, 5671, 5672, 15672, 25672, 61613, 61616, 8161, 1883, // queues
    4222, 6222, 8222, 4369, 5701, 11222, 47500, 10800, // messages and grids
    50070, 9870, 8020, 50075, 8088, 8042, 8032, 16010, 16000, 60010, // Hadoop and HBase
    7077, 8080, 4040, 18080, 8081, 6066, 8265, 10001, 8787, 8888, // computation and notebooks
    5005, 8453, 9229, 9222, 5858, 1099, 9010, 7199, 4444, 4445, // debuggers and JMX
    9090, 9091, 9100, 3000, 19999, 8125, 10051, 10050, 161, // monitoring
    3389, 5900, 5901, 5800, 5985, 5986, 6000, 5938, 4899, 3283, // screens
    389, 3268, 88, 464, 1812, // directories
    502, 102, 20000, 44818, 47808, 1911, 4840, 2404, 789, 1962, // industry
    4786, 7547, 8291, 8728, 5555, 623, 554, 9999, 37777, 34567, // devices
    8009, 7001, 4848, 9990, 8880, 10000, 2082, 2086, 8069, 11434, // consoles and models
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_lists_are_long_enough_and_name_no_port_twice() {
        for list in [COMMON, RISKY] {
            let distinct: BTreeSet<_> = list.iter().collect();
            assert_eq!(distinct.len(), list.len());
            assert!(list.len() > 100 && !list.contains(&0));
        }
    }

    #[test]
    fn the_table_of_costs_knows_how_many_are_asked() {
        let distinct: BTreeSet<_> = default_ports().collect();
        assert_eq!(distinct.len(), crate::target::DEFAULT_PORTS as usize);
    }

    #[test]
    fn top_n_is_n_distinct_ports() {
        assert_eq!(top(3), [443, 80, 22]);
        for count in [1, 100, 1_000, u16::MAX] {
            let distinct: BTreeSet<_> = top(count).into_iter().collect();
            assert_eq!(distinct.len(), usize::from(count));
        }
    }
}
