Feature: The service stops at the worst moment
  The money has been taken, and is not recorded yet: this is when the service dies.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens
    And the service stopped right after her card was charged

  Rule: The charge is recorded in the end, and is not made again

    Scenario: The service is started again
      When the service is started again
      Then her order is paid
      And her card has been charged 25.00 EUR
      And the payment has been recorded once
      And 3 fountain pens are left

    Scenario: It is started again, and she asks to pay again
      Given the service has been started again
      When she pays
      Then her order is paid
      And her card has been charged 25.00 EUR
      And the payment has been recorded once

  Rule: The units that were reserved for her stay hers

    Scenario: Another customer wants more pens than are left
      Given the service has been started again
      And another customer has ordered 4 fountain pens
      When she pays
      Then her order has failed: out of stock
      And her card has not been charged
      And 3 fountain pens are left
