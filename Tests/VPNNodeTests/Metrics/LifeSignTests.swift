// SPDX-License-Identifier: Apache-2.0
// Who watches a node that is stuck learns so in time, and many who look at once look once.
import Testing
import VPNCore

@testable import VPNNode

@Suite struct LifeSignTests {
    @Test func whatDoesNotAnswerIsNotAlive() async {
        let stuck = LifeSign(patience: .milliseconds(100)) {
            try? await Task.sleep(for: .seconds(86_400))
            return true
        }
        // The second one need not wait at all.
        for _ in 0..<2 {
            let isAlive = await stuck.isAlive
            #expect(!isAlive)
        }
    }

    @Test func anAnswerIsTakenAsItIs() async {
        for word in [true, false] {
            let life = LifeSign(patience: .seconds(60)) { word }
            for _ in 0..<3 {
                let isAlive = await life.isAlive
                #expect(isAlive == word)
            }
        }
    }

    private actor Looks {
        private(set) var count = 0
        func add() { count += 1 }
    }

    @Test func manyWhoAskAtOnceLookOnce() async {
        let looks = Looks()
        let page = MetricPage(
            look: {
                await looks.add()
                try? await Task.sleep(for: .seconds(1))
                return []
            }, isReady: { true }, isAlive: { true })
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<20 { group.addTask { _ = await page.text(.prometheus) } }
        }
        let count = await looks.count
        #expect(count == 1)
    }
}
