Feature: Telling others what happens
  A receiver of webhooks gets what it wants to hear of, or the shop can tell what it has missed.

  Background:
    Given the shop has 9 fountain pens at 12.50 EUR each

  Rule: A receiver hears of what it wants, in the order in which it happened

    Scenario: The warehouse hears of what it has to send
      Given the warehouse wants to hear of: paid, completed
      When a customer orders and pays for 2 fountain pens
      And the shop completes her order
      Then the warehouse hears of her order: paid, completed

  Rule: A receiver that must hold no secret knows the shop by its public key

    Scenario: The warehouse holds no secret
      Given the warehouse holds no secret, and wants to hear of: paid, completed
      When a customer orders and pays for 2 fountain pens
      And the shop completes her order
      Then the warehouse hears of her order: paid, completed

  Rule: What a receiver did not take is listed, and can be sent again

    Scenario: The warehouse is closed
      Given the warehouse wants to hear of: paid
      And the warehouse is closed
      When a customer orders and pays for 2 fountain pens
      Then it is listed that the warehouse has missed of her order: paid
      When the warehouse opens, and the shop sends what it has missed
      Then the warehouse hears of her order: paid

  Rule: A receiver that is well again is not kept waiting

    Scenario: The warehouse was closed for long, and is tested
      Given the shop has 12 ink bottles at 3.00 EUR each
      And the warehouse wants to hear of: paid
      And the warehouse is closed
      When 12 customers order and pay for 1 ink bottle each, all at once
      Then the warehouse is left alone for two minutes
      When the warehouse opens, and is tested
      Then within a minute the warehouse hears of all 12 orders: paid
