// SPDX-License-Identifier: Apache-2.0
// Every number of the protocol and of this node's patience, on one page, each with its reason. Numbers that an
// operator may set have their default in the node's configuration, not here.

public enum Limits {
    // MARK: - Sizes on the wire (§3, §7)

    /// §3: version 1, type 1, body length 2, receiver index 4, counter or message hash 8.
    public static let outerHeader = 16
    /// §7: type 1, flags 1, length 2, inside the ciphertext.
    public static let frameHeader = 4
    /// The tag of both packet ciphers (§1).
    public static let tag = 16
    /// What one session adds to an inner packet before padding: 16 + 4 + 16.
    public static let layerOverhead = outerHeader + frameHeader + tag
    /// The shortest DATA datagram: an empty frame.
    public static let smallestData = layerOverhead
    /// §3: handshake datagrams never exceed this, so that they pass any IPv6 path unfragmented.
    public static let handshakeDatagram = 1232
    /// What IPv4 and UDP's length fields leave for one UDP payload.
    public static let largestDatagram = 65_507
    /// What a train of datagrams in one buffer may take: the kernel counts its length in 16 bits.
    public static let largestTrain = 65_535
    /// The longest frame payload that still fits one UDP datagram.
    public static let largestPayload = largestDatagram - layerOverhead
    /// The longest plaintext, frame header included, to which padding may go.
    public static let largestPlaintext = largestPayload + frameHeader

    // MARK: - Paths (§7, §8)

    /// Ethernet's, and so of nearly every path.
    public static let usualPathMTU = 1500
    /// Jumbo frames; a loopback's 65,536 would make buffers for packets that no path carries.
    public static let largestPathMTU = 9000
    /// Bytes of an inner packet on a path of so many: without IPv4's 20 or IPv6's 40, UDP's 8, and 36 of a layer.
    public static func innerMTU(path: Int, isV4: Bool) -> Int { path - (isV4 ? 28 : 48) - layerOverhead }
    /// 1436 on 1500 bytes of IPv4.
    public static let innerMTUOverIPv4 = innerMTU(path: usualPathMTU, isV4: true)
    /// 1416 on 1500 bytes of IPv6.
    public static let innerMTUOverIPv6 = innerMTU(path: usualPathMTU, isV4: false)
    /// RFC 8200 §5: below this a link cannot carry IPv6.
    public static let smallestIPv6MTU = 1280
    /// RFC 791: what every IPv4 host must be able to receive.
    public static let smallestInnerMTU = 576

    /// A probe that had no answer by then is taken for lost: longer than any round trip on Earth but by satellite, of which the
    /// repeats take care.
    static let pathProbeTimeout = TimeSpan.milliseconds(300)
    /// RFC 8899 §5.1.2: MAX_PROBES. A size is given up after so many; at 10 % loss that errs once in a thousand.
    static let pathProbes = 3
    /// Answers of so many probes are waited for.
    static let pathProbesKept = 64
    /// The search ends when no more than this is to be gained.
    static let pathPrecision = 8
    /// How often a busy path is asked whether its size still arrives: what a path that shrank loses at most.
    static let pathCheck = TimeSpan.seconds(15)
    /// RFC 8899 §5.1.1: PMTU_RAISE_TIMER.
    static let pathClimb = TimeSpan.seconds(600)

    // MARK: - Room around a packet in a buffer

    /// Bytes that must be free before an inner packet. A layer takes at most 24 in front (header 16, frame 4, circuit
    /// id 4): eight layers are 192, and 64 more hold a TUN's virtio header without spoiling alignment.
    public static let headroom = 256
    /// Bytes that must be free after it: a tag of 16 for each of eight layers. The innermost alone is padded.
    public static let tailroom = 128

    // MARK: - Sessions (§7)

    /// The replay window of a session on one path: a 10 Gbit/s link reorders less than 8192 packets.
    public static let replayWindow = 8192
    /// On a quilt the window must span the slowest patch's delay at the fastest one's rate.
    public static let quiltReplayWindow = 65_536
    /// §7: counters that a thread reserves at once, so that threads which share a session meet once for so many packets.
    static let counterBlock: UInt64 = 64
    /// §7: then a thread abandons what is left of its block: a counter must not come later than the window is wide.
    static let counterBlockLifetime = TimeSpan.milliseconds(1)
    static let counterBlockAdvance: UInt64 = 1024
    /// A counter starts at a random number of so many bits, so that it does not show a session's age.
    public static let counterStartBits = 31
    /// §7: a key phase lasts so long, or so many frames.
    static let keyPhase = TimeSpan.seconds(120)
    static let framesBeforePhase: UInt64 = 1 << 28
    /// How long keys of the phase before are kept: as for `previous` sessions, and for the same reason.
    static let keyPhaseGrace = previousSessionGrace
    /// Hard stop of a key phase: far below what GCM allows, and four times the ratchet's 2^28.
    public static let framesPerPhase: UInt64 = 1 << 30
    /// A key that saw so many forgeries is dropped (RFC 9001 §6.6 has 2^52 for GCM, 2^36 for ChaCha20-Poly1305).
    public static let failedOpens: UInt64 = 1 << 36

    // MARK: - Address proof (§4)

    /// Cookie secrets change so often; the one before is kept.
    static let cookieSecretPeriod = TimeSpan.seconds(120)
    /// §4: while its secret is held, at most this.
    static let cookieLifetime = TimeSpan.seconds(240)
    static let tokenSecretPeriod = TimeSpan.seconds(3600)
    /// A token spares a returning initiator one round trip; after an hour it can afford it.
    static let tokenLifetime = TimeSpan.seconds(3600)
    /// Tokens of one secret that may be spent; a full set refuses (§4), and refused initiators begin with S0.
    static let spentTokens = 4096
    /// §4: 2^20 hashes are a second of one core; nobody is asked for more.
    static let puzzleMaximumDifficulty: UInt8 = 20
    /// About 4,096 hashes, 2 ms: as dear for the initiator as opening its S1 is for us.
    static let puzzleDifficultyUnderLoad: UInt8 = 12
    /// About 32,768 hashes, 20 ms: three times what a whole answer costs us, so that an attacker needs more processors than
    /// we have, and a single caller hardly notices.
    static let puzzleDifficultyUnderAttack: UInt8 = 15
    /// While the line is full, so many fragments that paid less than is asked are looked at in each window all the same: repeats of
    /// those who are in line may be among them. 500 a second cost about 2 ms.
    static let unpaidLooks = 50
    static let unpaidWindow = TimeSpan.milliseconds(100)

    // MARK: - Fragments (§5)

    static let fragmentMaximumCount = 16
    static let reassemblies = 256
    static let reassembliesPerPrefix = 8
    static let reassembliesPerSite = 32
    static let reassemblyLifetime = TimeSpan.seconds(10)
    /// §5: the responder keeps its S2 for repeats.
    static let answerLifetime = TimeSpan.seconds(30)
    /// 1,024 answers of 8.3 KB are 8.5 MB, and more than two cores make in three seconds, by when a caller has repeated what
    /// it misses three times.
    static let answersKept = 1024
    /// Complete S1 messages in line for public-key work: 1.6 MB, and less than half a second's work of two cores.
    static let handshakesWaiting = 128
    /// Prefixes whose handshakes are counted at a time: 3 MB at ten each.
    static let ratedPrefixes = 16_384
    /// Messages of one prefix that are remembered where no limit says how many: enough to tell the heavy from the light.
    static let ratedMessages = 32

    // MARK: - Handshake (§5, §6)

    /// §4: anyone on the path can forge a RETRY.
    static let retriesKept = 3
    /// §5: then it restarts from S0.
    static let handshakeRestart = TimeSpan.seconds(20)
    /// How long whoever answers, and may be somebody that is known, is asked for its descriptor.
    static let descriptorPatience = TimeSpan.seconds(5)
    /// §5: then it gives up.
    static let handshakeGiveUp = TimeSpan.seconds(90)
    /// Before the next try after giving up; doubles each time.
    static let retryPause = TimeSpan.seconds(5)
    static let retryPauseMaximum = TimeSpan.seconds(120)
    /// §6: the smaller id stays initiator so long.
    static let simultaneousOpen = TimeSpan.seconds(2)
    /// Two sessions that came closer together than this were begun by both sides at once.
    static let simultaneousSessions = TimeSpan.seconds(10)
    /// §6: a newer S1 never evicts a younger `next`.
    static let nextSessionProtected = TimeSpan.seconds(5)
    /// How long `previous` receives: packets under way arrive within a second, on the worst paths within three.
    static let previousSessionGrace = TimeSpan.seconds(5)
    /// Sessions with one peer that only receive: two handshakes that crossed leave two, and a third in their grace.
    static let previousSessions = 4
    /// Seconds of a renewal's window that are compared: as many as the default threshold's window has, and more.
    static let renewalChoices: UInt64 = 1024
    /// Seconds that the calendar of renewals holds before past ones are cleared away: a window of the longest threshold, and more.
    static let calendarSeconds = 32_768
    /// Keys that an association's last handshakes left: two of one moment, and one to spare.
    static let chainedKeys = 3
    /// S1 messages remembered against replay: 34 a second over a cookie's life.
    static let initiationHistory = 8192
    /// §2: pins by first use.
    static let firstUsePins = 1024
    /// Sessions with callers that nobody knows and that carried nothing yet; 4 KB each. Two cores make so many in 1.7 s, by
    /// when an honest caller's first keepalive has come.
    static let strangers = 512

    /// §2: a degraded session has a new handshake within 120 s. The initiator's jitter of ± 10 % and the responder's two
    /// tenths later leave at most 117 s of this.
    static let degradedRenewal = TimeSpan.seconds(90)
    /// 120 s, and the 90 s after which the handshake that is owed counts as failed.
    static let degradedLifetime = TimeSpan.seconds(210)

    // MARK: - Liveness (§7)

    /// One look at all sessions.
    static let maintenanceTick = TimeSpan.seconds(1)
    /// §7: one-way traffic is answered after this.
    static let passiveKeepalive = TimeSpan.seconds(10)
    /// A peer that does not follow into the next key phase by then gets a new session: half of what the key bears.
    static let framesBeforeRenewal: UInt64 = 1 << 29

    /// A question that has had no answer of any kind by then is missed.
    static let keepaliveTimeout = TimeSpan.seconds(5)
    /// §7: so many missed questions mean that the path is down.
    static let missedKeepalives = 3
    /// What §7's path validation takes at most: three questions, each waiting twice as long as the one before.
    static let pathQuestion = TimeSpan.milliseconds(300)
    static let pathQuestions = 3
    /// A peer that still answers where it was is not asked about other carriers for so long.
    static let pathHeld = TimeSpan.seconds(10)
    /// How often a data plane tells of the same new carrier.
    static let carrierReports = TimeSpan.seconds(1)
    /// And of any of one peer: whoever shows a new one with each datagram is not told of with each.
    static let carrierChanges = TimeSpan.milliseconds(10)
    /// Questions of one peer about its path that are answered in a second.
    static let pathAnswers = 8

    // MARK: - Circuits (§8)

    /// Sessions around and with an inner packet: eight layers of 40 bytes leave an IPv4 path of 1500 bytes 1156.
    public static let circuitHops = 8
    /// What RELAY adds to a datagram that it carries: a circuit id.
    static let circuitID = 4
    /// What a hop costs: 16 + 4 + 4 + 16.
    static let circuitOverhead = layerOverhead + circuitID
    /// The least that a circuit must carry: a fragment of a kind 2 S1, which has sixteen.
    static let smallestCircuitDatagram = 872
    /// payload1's mtu of every anonymous initiator, so that none tells its depth: the least that carries IPv6.
    static let anonymousMTU: UInt16 = 1280
    /// EXTEND is said again after so long: it crosses one hop more each time, and a few lossy ones leave little of a question and its
    /// answer.
    static let extendRepeats = [500, 1000, 1500, 2000, 3000, 4000, 5000, 6000].map { TimeSpan.milliseconds($0) }
    /// An EXTEND without an answer is given up then.
    static let extendWait = TimeSpan.seconds(8)
    /// A relay waits so long for its link: its answer has to travel, too.
    static let linkWait = TimeSpan.seconds(7)
    /// A hop's handshake: what an initiator gives one attempt (§5).
    static let circuitHandshake = handshakeRestart
    /// A hop that another one could stand for is left when it has said nothing by then: its fifth S0 was on its way.
    static let circuitFirstWord = TimeSpan.seconds(4)
    /// A circuit that carried nothing for so long ends.
    static let circuitIdle = TimeSpan.seconds(90)
    /// So that a circuit which nobody uses now is not an idle one: a keepalive of its innermost session goes all the way.
    static let circuitKeepalive: UInt16 = 25
    /// §9: circuits live 8 to 12 min; then another one takes over.
    static let circuitLife = TimeSpan.seconds(480)
    static let circuitLifeSpread = TimeSpan.seconds(240)
    /// A hop's session lives at least so long: a path needs no other end than its own. A hop could have its client draw other relays
    /// every few seconds otherwise, until one of its own lies next to the client's guard.
    static let hopLifetime = circuitLife + circuitLifeSpread + circuitDrain
    /// What a relay or exit tells its guests at least: paths are replaced when half of it is over.
    static let guestLifetime = TimeSpan.seconds(1440)
    /// A replaced path takes what is under way so long: twice the grace of the sessions in it.
    static let circuitDrain = TimeSpan.seconds(10)
    /// Before a replacement that failed is tried again; doubles each time, up to two minutes.
    static let circuitRetry = TimeSpan.seconds(10)
    /// The same of one that is to take the place of a lost path beside others (§9).
    static let pathRetry = TimeSpan.seconds(1)
    /// A path that was in use for so long has done its work: whoever ends each of them sooner is not followed at his pace.
    static let pathProven = TimeSpan.seconds(60)
    /// Without a sign of life from the last hop of a circuit for so long, ± 25 %, it is asked for one: while packets go, or went a
    /// moment ago, and else.
    static let vigilBusy = TimeSpan.milliseconds(300)
    static let vigilIdle = TimeSpan.seconds(5)
    static let vigilBusyFor = TimeSpan.seconds(3)
    /// How long the first question waits: three round trips, at least and at most so long.
    static let vigilAnswer = TimeSpan.milliseconds(300)
    static let vigilLongestAnswer = TimeSpan.seconds(2)
    /// Then it is asked again and again. Four links that lose 5 % each way lose one question of three, and ten of ten once in 50,000.
    static let vigilRepeat = TimeSpan.milliseconds(100)
    static let vigilQuestions = 10
    /// Circuits that this node has for itself: more than all patches of some quilts, with their replacements.
    static let ownCircuits = 64

    /// What a relay does for others, where its policy does not say otherwise. A circuit is half a kilobyte of ours.
    static let relayedCircuits = 16_384
    static let relayedCircuitsPerClient = 64
    static let relayedCircuitsPerLink = 4096
    /// Of what a client or a link may have relayed: a circuit that has had nothing lately gets so much at once, be it in time or, at
    /// low rates, in bytes: a handshake's S1 and S2. Whoever has had his part gets what is left over, where hardly anything is owed.
    static let relayBurst = TimeSpan.milliseconds(20)
    static let relayBurstBytes = 32 << 10
    static let relayRoom = TimeSpan.milliseconds(2)
    /// Callers by circuits at a time; 5.5 KB each.
    static let guests = 4096
    /// Of them, on one circuit: whoever built it shows one identity there.
    static let guestsPerCircuit = 8
    /// ENDs of one peer that are looked into in a second, of circuits that end here or nowhere: each is looked for among all peers. What
    /// is left over goes as whatever is idle.
    static let endsPerSecond = 256
    /// EXTENDs of one client in a minute, repeats not counted: one a second is ten times what 64 circuits of 10 min need.
    static let extendsPerMinute = 60
    /// Handshakes that one link brings in a minute: two cores make more than that in 4 s.
    static let circuitHandshakesPerMinute = 600
    /// Of them, on one circuit: an initiator has an S1 for each RETRY that it kept, and begins anew every 20 s.
    static let handshakesPerCircuit = 10
    /// Reassemblies of one circuit: an initiator has an S1 for each RETRY that it kept. With fewer they would push out each other
    /// for ever where a path is so long that S0 was said twice.
    static let reassembliesPerCircuit = retriesKept

    // MARK: - The quilt (§9)

    /// Carriers of one session at a time.
    public static let patches = 8
    /// Packets that wait for earlier ones, a power of two: 120 ms at 200 Mbit/s of full packets. With cells of 1436 bytes they
    /// take 3 MB.
    static let resequencedPackets = 2048
    /// Quilts of one worker that have such cells at a time, 48 MB; a further one takes those whose packets have waited longest.
    static let resequencers = 16
    /// A quilt without packets that wait gives its cells back then.
    static let resequencerKept = TimeSpan.seconds(2)
    static let resequencingLeast = TimeSpan.milliseconds(3)
    static let resequencingMost = TimeSpan.milliseconds(120)
    /// For how long the ways of packets count.
    static let patchTransitKept = TimeSpan.seconds(2)
    /// How much longer packets wait after one came too late.
    static let resequencingStep = TimeSpan.milliseconds(4)
    /// What is added to what the patches' delays say.
    static let resequencingMargin = TimeSpan.milliseconds(2)
    /// How often a patch is asked how it does: service has to move within 0.6 s of its end, and 150 ms · 1.25 + 300 ms is that less
    /// what a busy machine takes.
    static let patchProbeBusy = TimeSpan.milliseconds(150)
    static let patchProbeIdle = TimeSpan.seconds(1)
    static let patchProbeSuspect = TimeSpan.milliseconds(100)
    /// A patch that is down is asked as seldom as an idle one: its answer brings it back.
    static let patchProbeDown = TimeSpan.seconds(1)
    /// Silence after which a patch is suspect, where three round trips are less.
    static let patchSilence = TimeSpan.milliseconds(300)
    /// Probes without an answer, and the time for the last of them, by which a suspect patch is down.
    static let patchSuspectProbes = 2
    static let patchSuspicion = TimeSpan.milliseconds(300)
    /// A patch that has not proven its join by then is down: as long as a move's questions wait.
    static let patchJoin = TimeSpan.milliseconds(2100)
    /// Probes whose answers are waited for.
    static let patchProbesKept = 32
    /// How long the shortest round trip counts.
    static let patchShortestKept = TimeSpan.seconds(10)
    /// Losses of a thousand by which a patch is known to have more than it can do.
    static let patchLossTold = 100
    /// How long it is believed what a patch can do, once it had more than that.
    static let patchCapacityKept = TimeSpan.seconds(20)
    /// What is asked of it is so much of it more: it may have become better.
    static let patchCapacityTried: UInt64 = 64
    /// What was given to a patch keeps it busy no longer than that.
    static let patchBusyMost = TimeSpan.seconds(10)
    /// Bytes a second of a patch, at most: whoever reports more is mistaken, or lies.
    static let patchRateMost: UInt64 = 1 << 40
    /// What stands in a patch's own queue while more is wanted of it: so little that the choice among patches stays good, so much
    /// that the patch is never without.
    static let patchQueueLeast = TimeSpan.milliseconds(5)
    /// A patch that is busy for 7/8 of such a while has about all that it can do.
    static let patchLoadWatched = TimeSpan.milliseconds(50)
    /// What the packets of a quick patch may stand in its queue until those of a slow one are there as well.
    static let patchQueueMost = TimeSpan.milliseconds(50)
    /// A patch whose way is so much longer than that of another takes no packets while that carries: those behind them could not be
    /// held back for so long.
    static let patchDelayMost = TimeSpan.milliseconds(100)
    /// Packets that no patch takes yet wait here: as long as a router's queue, and 64 KiB at least.
    static let pacedFor = TimeSpan.milliseconds(50)
    static let pacedLeast = 64 << 10
    /// Bytes that wait for one peer at most, whatever its reports say that the patches can do.
    static let pacedMost = 16 << 20
    /// All peers together on one worker: half of what nobody has is for whoever wants more.
    static let pacedBytesOfAllPeers = 48 << 20
    /// A packet that found no patch for so long is dropped: a patch that is said to do next to nothing holds memory else.
    static let pacedLongest = TimeSpan.seconds(5)
    /// Since its last packet a quilt is busy for so long.
    static let quiltBusyFor = TimeSpan.seconds(2)
    /// How long an end that wants patches waits for those of the other end, in a session that this began.
    static let quiltTakeover = TimeSpan.seconds(2)
    /// A patch of the peer's that nobody hears of for so long is forgotten.
    static let patchForgotten = TimeSpan.seconds(60)
    /// Questions of a join wait so long, doubled each time; then it rests.
    static let patchQuestion = TimeSpan.milliseconds(300)
    static let patchQuestions = 3
    static let patchRest = TimeSpan.seconds(5)
    /// What a patch is tried with that takes no packets as long as the others: the least that carries IPv6.
    static let patchLeastMTU = 1280
    /// Packets between two probes that can make a queue; what is less are probes and their answers.
    static let patchLoadTold: UInt64 = 8
    /// A way there that is so much longer than the shortest one has a queue.
    static let patchQueueTold = TimeSpan.milliseconds(5)
    /// How much later than by the best patch a packet may arrive by that of its flow: a change costs disorder.
    static let flowletGain = TimeSpan.milliseconds(5)
    /// Packets up to so many bytes are small ones: interactive input, and TCP's acknowledgements.
    static let smallPacket = 256
    /// Packets that a repair covers: at 3 % loss one of them is missing, and rarely three.
    static let repairWindow = 32
    /// Repairs that come without packets between them, at most.
    static let repairsAtOnce = 64
    /// Counters whose packets are kept for repairs: a window, and what other patches are behind.
    static let repairMemory = 256
    /// Datagrams of a quilt that are not reported yet are kept, to go again by another patch where theirs falls silent: what 140 Mbit/s
    /// bring until that is noticed. So many bytes of them go again at most, at the rate of the others, or at 50 Mbit/s where that is not
    /// known.
    static let sentBytesKept = 8 << 20
    /// All quilts of a node together, by halves of what nobody has: eight that want as much as that have 6 MB each.
    static let sentBytesOfAllQuilts = 64 << 20
    /// No longer than that: a patch of a quilt in use is known to be silent within 0.6 s.
    static let sentKeptFor = TimeSpan.seconds(3)
    static let sentAgainBytes = 4 << 20
    static let sentAgainRate: UInt64 = 6_250_000
    /// Quilts whose packets one worker keeps for repairs.
    static let quiltsRepaired = 64
    /// One of them without a packet among so many of all is idle.
    static let idleQuiltRepairs: UInt64 = 4096
    /// Repairs that wait for others.
    static let repairEquations = 16

    // MARK: - Exit (§8)

    /// Rules of a policy: a packet may be held against all of them.
    public static let exitRules = 256
    /// Of one rule; as many as a port list for reflection attacks has, and more.
    static let exitPortRanges = 64
    /// Extension headers of an IPv6 packet: RFC 8200 knows six.
    static let exitExtensionHeaders = 8
    /// Fragmented packets of which the rest may follow, a worker and direction.
    static let exitFragments = 64
    /// Linux' own patience with fragments (net.ipv4.ipfrag_time).
    static let exitFragmentLife = TimeSpan.seconds(30)
    /// Packets whose senders are told that they went nowhere, a worker and way: what Linux' icmp_ratelimit has for all hosts together is
    /// 1000.
    static let answersPerSecond = 100
    /// Packets with a foreign source that a guest may send in a minute; then its session ends. A host whose address has just
    /// changed sends a few.
    static let exitForeignSources = 100
    static let exitForeignWindow = TimeSpan.seconds(60)
    /// Leases at a time: as many as guests.
    static let exitLeases = guests
    /// An address is given to nobody else for so long: what is under way to its last holder is not for the next.
    static let leaseQuarantine = TimeSpan.seconds(60)
    /// Name servers in a lease: resolv.conf has room for three.
    public static let leaseServers = 4
    /// A guest asks for its lease, and again as often as EXTEND is said; after 8 s it gives up.
    static let leaseRepeats = extendRepeats
    static let leaseWait = extendWait

    // MARK: - The directory of relays (§7, §8)

    /// Descriptors of relays; with their keys 14 KB each, so 57 MB where all are there.
    public static let directoryEntries = 4096
    /// Of them, brought by one relay: nobody alone says who there is.
    static let entriesPerSource = 1024
    /// Descriptors that one relay may bring in an hour: 0.6 ms of work each.
    static let descriptorsPerSource = 64
    /// A relay is asked so often, and what it brought is counted over so long.
    static let directoryPeriod = TimeSpan.seconds(3600)
    /// Lists of one exchange: a directory that is full has 64 of them.
    static let directoryPages = 64
    /// Bytes of answers to one node in a minute: 50 descriptors. More is asked for again later.
    static let directoryBytesPerMinute = 512 << 10
    /// Of them, what a question takes at least: its answer is looked for among thousands.
    static let directoryQuestionCost = 256
    /// A question is said again after these times, and then left.
    static let exchangeRepeats: [TimeSpan] = [.seconds(1), .seconds(2), .seconds(4)]
    /// Before a relay that stopped answering is asked anew; and what a descriptor's check may take.
    static let exchangeStall = TimeSpan.seconds(600)
    /// Before a relay that handed on forgeries is asked anew.
    static let directoryShunned = TimeSpan.seconds(86_400)
    /// Where no relay that may be asked has a session, one is called so often.
    static let directorySearch = TimeSpan.seconds(60)
    /// How long a relay's descriptor may be good, in seconds: 90 days. What is longer is no news of anything.
    public static let relayDescriptorLife: UInt64 = 90 * 86_400
    /// How far a descriptor's beginning may lie ahead, in seconds: clocks differ.
    static let descriptorClockSlack: UInt64 = 86_400
    /// A relay where a path failed is left out of others for so long, if there is another.
    static let relayAvoided = TimeSpan.seconds(600)
    /// Paths through a guard after which it is judged by how many of them lasted, and after how many the oldest count half.
    static let guardPathsJudged = 20
    static let guardPathsKept = 64

    // MARK: - Packets that wait for a session

    /// One peer's queue: the first flight of a TCP connection or a short burst of datagrams, not a buffer for a flow.
    public static let stagedPackets = 32
    public static let stagedBytes = 65_536
    /// All peers together on one worker, so that 65,536 dead peers cannot hold 4 GiB.
    public static let stagedBytesOfAllPeers = 4 << 20
    /// A packet older than this is of no use to anybody: TCP has sent it anew.
    public static let stagedLifetime = TimeSpan.seconds(20)
    /// A peer without a session is asked for at most so often, however fast packets for it arrive.
    public static let wantSessionInterval = TimeSpan.seconds(1)

    // MARK: - Tables of a worker

    /// A slot is used again only when so many are free.
    static let slotsKeptFree = 1024
    /// Peer slots are small integers that index an array; a slot beyond this is a bug of the caller.
    public static let peerSlots = 1 << 20
}
