// SPDX-License-Identifier: Apache-2.0

import Common
import Hummingbird

/// Where tests ask for faults, and the login that they may ask for.
struct FaultRoutes: Sendable {
    /// Before all of them.
    static let path = "/faults"
    /// Where a token is had.
    static let token = "/v4/token"

    let faults: Faults
    let store: RegistryStore

    func add(to table: inout RegistryTable) {
        table.add(.get, Self.path) { _ in try RegistryAnswer.json(self.faults.current) }
        table.add(.put, Self.path) { call in
            await self.set(try await call.body(FaultPlan.self))
            return RegistryAnswer.done
        }
        table.add(.delete, Self.path) { _ in
            await self.set(FaultPlan())
            return RegistryAnswer.done
        }
        table.add(.post, "\(Self.path)/wipe") { _ in
            await self.store.wipe()
            return RegistryAnswer.done
        }
        table.add(.post, "\(Self.path)/unwatch") { _ in
            await self.store.unwatchAll()
            return RegistryAnswer.done
        }
        table.add(.post, Self.token) { call in
            guard self.faults.accounts.isOn else { return RegistryAnswer.text(.notFound, "404 page not found") }
            let login = try await call.body(Accounts.Login.self)
            let token = try self.faults.accounts.logIn(
                login.name ?? "", login.password ?? "", life: login.tokenExpirationTime)
            return try RegistryAnswer.json(["token": token])
        }
    }

    private func set(_ plan: FaultPlan) async {
        self.faults.set(plan)
        await self.store.hold(deletions: plan.holdDeletions?.duration)
    }
}
